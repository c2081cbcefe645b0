/** Tells open pages that the app was rebuilt, over server-sent events. */
export class LiveReload {
  readonly #listeners = new Set<ReadableStreamDefaultController<Uint8Array>>();
  #revision: string = crypto.randomUUID();

  /** URL path of the event stream. */
  static readonly path = "/_fresh/alive";

  /** The script that listens in the page; it lies beside the event stream. It also reloads when it reaches a server that was restarted. */
  static readonly script = `let revision = null;
new EventSource(new URL("./alive", import.meta.url)).onmessage = ({ data }) => {
  if (revision !== null && revision !== data) location.reload();
  revision = data;
};
`;

  /** Reloads the open pages. */
  notify(): void {
    this.#revision = crypto.randomUUID();
    for (const listener of this.#listeners) listener.enqueue(this.#event());
  }

  /** Ends the event streams. */
  close(): void {
    for (const listener of this.#listeners) listener.close();
    this.#listeners.clear();
  }

  /** Answers a page that listens. */
  response(): Response {
    let own: ReadableStreamDefaultController<Uint8Array>;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        own = controller;
        this.#listeners.add(controller);
        controller.enqueue(this.#event());
      },
      cancel: () => {
        this.#listeners.delete(own);
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream", "cache-control": "no-store" } });
  }

  #event(): Uint8Array {
    return new TextEncoder().encode(`retry: 500\ndata: ${this.#revision}\n\n`);
  }
}
