/** Calls that wait for their answer. */
import { MeshError, type MeshPayload } from "./types.ts";

interface PendingCall {
  isolateId: string;
  resolve(value: MeshPayload): void;
  reject(error: MeshError): void;
  timer: ReturnType<typeof setTimeout>;
}

export class Calls {
  #pending = new Map<number, PendingCall>();

  /** Waits for the answer to call `id` by an isolate; rejects with `timeout` after `timeoutMs`. */
  wait(id: number, isolateId: string, method: string, timeoutMs: number): Promise<MeshPayload> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const message = `${method} on isolate ${isolateId} did not answer within ${timeoutMs} ms`;
        this.#fail(id, new MeshError("timeout", message));
      }, timeoutMs);
      this.#pending.set(id, { isolateId, resolve, reject, timer });
    });
  }

  /** The answer is here: its value, or the message of what was thrown. Ignored after the timeout. */
  settle(id: number, isolateId: string, ok: boolean, value: MeshPayload): void {
    const call = this.#pending.get(id);
    if (call?.isolateId !== isolateId) return;
    if (!ok) return this.#fail(id, new MeshError("failed", String(value)));
    this.#pending.delete(id);
    clearTimeout(call.timer);
    call.resolve(value);
  }

  /** Rejects the calls to an isolate that is gone, or all of them. */
  gone(isolateId: string | null): void {
    for (const [id, call] of this.#pending) {
      if (isolateId !== null && call.isolateId !== isolateId) continue;
      const message = isolateId === null ? "this isolate is closing" : `isolate ${isolateId} is gone`;
      this.#fail(id, new MeshError("gone", message));
    }
  }

  #fail(id: number, error: MeshError): void {
    const call = this.#pending.get(id);
    if (!call) return;
    this.#pending.delete(id);
    clearTimeout(call.timer);
    call.reject(error);
  }
}
