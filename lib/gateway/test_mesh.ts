import type { Mesh, MeshPayload, Topic } from "@/lib/mesh/types.ts";

/** A mesh of one isolate. */
export class TestMesh implements Mesh {
  readonly isolateId = "isolate-1";
  readonly #listeners = new Map<Topic, Set<(payload: MeshPayload, from: string) => void>>();
  readonly #methods = new Map<string, (params: MeshPayload, from: string) => Promise<MeshPayload>>();

  publish(topic: Topic, payload: MeshPayload): void {
    for (const listener of [...this.#listeners.get(topic) ?? []]) listener(payload, this.isolateId);
  }
  subscribe(topic: Topic, listener: (payload: MeshPayload, from: string) => void) {
    const listeners = this.#listeners.get(topic) ?? new Set();
    this.#listeners.set(topic, listeners.add(listener));
    return { ready: Promise.resolve(), [Symbol.dispose]: () => void listeners.delete(listener) };
  }
  serve(method: string, handler: (params: MeshPayload, from: string) => Promise<MeshPayload>): void {
    this.#methods.set(method, handler);
  }
  call(_isolateId: string, method: string, params: MeshPayload): Promise<MeshPayload> {
    return this.#methods.get(method)!(params, this.isolateId);
  }
  isLive(isolateId: string): boolean {
    return isolateId === this.isolateId;
  }
  liveIsolates(): string[] {
    return [this.isolateId];
  }
  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}
