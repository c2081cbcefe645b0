/** The isolates of one hub process: this one and, with `PERCH_ISOLATES=n`, n − 1 workers on the same port. */
import type { Auth } from "@/lib/auth/mod.ts";
import type { IsolateCommand, IsolateReport } from "./isolate.ts";

export interface Isolates {
  auth: Auth;
  /** New sockets are refused and /readyz answers 503 from now on; open sockets stay. */
  beginDrain(): void;
  /** Moves the clients over, then stops serving after what was received has been committed. */
  stop(): Promise<void>;
}

/** Starts `count` isolates on one port; resolves when all of them listen. The app must have been built. */
export async function startIsolates(options: { host: string; port: number; count: number }): Promise<Isolates> {
  const { host, port, count } = options;
  const { auth, closeHub, hub, serve } = await import("./main.ts");
  const { default: site } = await import("./_fresh/server.js");
  const server = serve(site.fetch, { hostname: host, port, reusePort: count > 1, onListen() {} });
  const workers = Array.from({ length: count - 1 }, () => new IsolateWorker());
  await Promise.all(workers.map((worker) => worker.serve(host, port)));
  return {
    auth,
    beginDrain() {
      hub.beginDrain();
      for (const worker of workers) worker.beginDrain();
    },
    async stop() {
      await Promise.all([...workers.map((worker) => worker.stop()), closeHub()]);
      await server.shutdown();
    },
  };
}

class IsolateWorker {
  readonly #worker = new Worker(new URL("./isolate.ts", import.meta.url), { type: "module", name: "isolate" });
  readonly #loaded = this.#until("loaded");

  async serve(host: string, port: number): Promise<void> {
    await this.#loaded;
    const ready = this.#until("ready");
    this.#worker.postMessage({ type: "serve", host, port } satisfies IsolateCommand);
    await ready;
  }

  beginDrain(): void {
    this.#worker.postMessage({ type: "begin_drain" } satisfies IsolateCommand);
  }

  async stop(): Promise<void> {
    const stopped = this.#until("stopped");
    this.#worker.postMessage({ type: "stop" } satisfies IsolateCommand);
    await stopped;
  }

  #until(type: IsolateReport["type"]): Promise<void> {
    return new Promise((resolve, reject) => {
      const onMessage = ({ data }: MessageEvent<IsolateReport>) => {
        if (data.type !== type) return;
        this.#worker.removeEventListener("message", onMessage);
        resolve();
      };
      this.#worker.addEventListener("message", onMessage);
      this.#worker.addEventListener("error", (event) => {
        event.preventDefault();
        reject(new Error(`an isolate of the hub failed: ${event.message}`));
      }, { once: true });
    });
  }
}
