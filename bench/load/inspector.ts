/** Asks V8 of a hub process, over its inspector, to collect garbage: only then does its memory tell what it holds. */
import { eventually, within } from "../../tests/support/patience.ts";

/** Collections that are asked for in a row: finalizers of one free what the next collects. */
const COLLECTIONS = 3;

/** The inspector of a process that was started with `--inspect=127.0.0.1:<port>`. */
export class Inspector implements Disposable {
  readonly #socket: WebSocket;
  #nextId = 1;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  static async open(port: number): Promise<Inspector> {
    const targets = await eventually(async () => {
      const response = await fetch(`http://127.0.0.1:${port}/json/list`).catch(() => null);
      return response === null ? null : await response.json() as { webSocketDebuggerUrl: string }[];
    }, "the inspector of the hub");
    const socket = new WebSocket(targets[0]!.webSocketDebuggerUrl);
    await within(new Promise((resolve) => socket.onopen = resolve), "a connection to the inspector");
    return new Inspector(socket);
  }

  async collectGarbage(): Promise<void> {
    for (let i = 0; i < COLLECTIONS; i++) await this.#call("HeapProfiler.collectGarbage");
  }

  /** Bytes of live objects in V8's heap. */
  async heapBytes(): Promise<number> {
    const { usedSize } = await this.#call("Runtime.getHeapUsage") as { usedSize: number };
    return usedSize;
  }

  async #call(method: string): Promise<unknown> {
    const id = this.#nextId++;
    const answer = new Promise<unknown>((resolve, reject) => {
      const take = ({ data }: MessageEvent) => {
        const message = JSON.parse(data);
        if (message.id !== id) return;
        this.#socket.removeEventListener("message", take);
        if (message.error) reject(new Error(`${method}: ${message.error.message}`));
        else resolve(message.result);
      };
      this.#socket.addEventListener("message", take);
    });
    this.#socket.send(JSON.stringify({ id, method }));
    return await within(answer, `the inspector's answer to ${method}`);
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}
