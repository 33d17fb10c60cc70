// Works offline once loaded. The network is asked first, so that a new model or page is seen at once.
const CACHE = "rtmpose-1";

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || new URL(request.url).origin !== self.location.origin) return;
  event.respondWith(
    caches.open(CACHE).then(async (cache) => {
      try {
        const answer = await fetch(request);
        if (answer.status === 200) await cache.put(request, answer.clone());
        return answer;
      } catch (error) {
        const kept = await cache.match(request);
        if (kept) return kept;
        throw error;
      }
    }),
  );
});
