"""The command line of the SDK: the outermost layer, which may call every room."""
