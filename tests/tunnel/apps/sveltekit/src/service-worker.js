/** Takes over at once, and answers for an address that the server does not have. */
self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  if (new URL(event.request.url).pathname === "/from-worker") event.respondWith(new Response("the worker's own"));
});
