"""Where models come from: the table of published names, downloads, the cache, archives, conversion."""
