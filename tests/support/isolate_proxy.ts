/**
 * A way to one certain isolate of a hub: the kernel spreads connections over isolates, so this proxy asks each new connection
 * who answers it (GET /healthz) and keeps those of the wanted isolate.
 */
import type { HubAddress, HubProcess, Person } from "./hub.ts";

const MAX_TRIES = 500;

/** The ids of all isolates of the hub. Rejects when fewer than `count` answer. */
export async function isolatesOf(hub: HubProcess, count: number): Promise<string[]> {
  const found = new Set<string>();
  for (let i = 0; i < MAX_TRIES && found.size < count; i++) {
    const health = await hub.health();
    if (health !== null) found.add(health.isolate);
  }
  if (found.size < count) throw new Error(`only ${found.size} isolates of ${count} answer`);
  return [...found].sort();
}

export class IsolateProxy implements HubAddress, AsyncDisposable {
  readonly isolate: string;
  readonly #hub: HubProcess;
  readonly #listener: Deno.TcpListener;
  readonly #open = new Set<Deno.Conn>();
  readonly #served: Promise<void>;

  /** Listens on a port of its own; every connection through it reaches `isolate`. */
  constructor(hub: HubProcess, isolate: string) {
    this.#hub = hub;
    this.isolate = isolate;
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.#served = this.#serve();
  }

  get host(): string {
    return `127.0.0.1:${this.#listener.addr.port}`;
  }
  get url(): string {
    return `http://${this.host}`;
  }
  get person(): Person {
    return this.#hub.person;
  }

  async #serve(): Promise<void> {
    const running = new Set<Promise<void>>();
    for await (const client of this.#listener) {
      const one: Promise<void> = this.#join(client).catch(() => {}).finally(() => running.delete(one));
      running.add(one);
    }
    await Promise.all(running);
  }

  async #join(client: Deno.Conn): Promise<void> {
    this.#open.add(client);
    const server = await this.#connect();
    this.#open.add(server);
    try {
      await Promise.all([copy(client, server), copy(server, client)]);
    } finally {
      for (const connection of [client, server]) {
        this.#open.delete(connection);
        closeQuietly(connection);
      }
    }
  }

  async #connect(): Promise<Deno.Conn> {
    for (let i = 0; i < MAX_TRIES; i++) {
      const connection = await Deno.connect({ hostname: "127.0.0.1", port: this.#hub.port });
      if (await askIsolate(connection) === this.isolate) return connection;
      connection.close();
    }
    throw new Error(`no connection reached isolate ${this.isolate}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const connection of this.#open) closeQuietly(connection);
    await this.#served;
  }
}

/** Who answers on this connection, which stays open for the next request. */
async function askIsolate(connection: Deno.Conn): Promise<string | null> {
  await connection.write(new TextEncoder().encode("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"));
  const buffer = new Uint8Array(16 * 1024);
  let text = "";
  for (let read = await connection.read(buffer); read !== null; read = await connection.read(buffer)) {
    text += new TextDecoder().decode(buffer.subarray(0, read));
    const [head, body] = text.split("\r\n\r\n");
    const length = Number(/content-length: (\d+)/i.exec(head ?? "")?.[1] ?? NaN);
    if (body !== undefined && body.length >= length) return JSON.parse(body).isolate;
  }
  return null;
}

/** Copies until the source ends, then ends the other side: a closed socket must be seen as closed. */
async function copy(from: Deno.Conn, to: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(64 * 1024);
  try {
    for (let read = await from.read(buffer); read !== null; read = await from.read(buffer)) {
      for (let offset = 0; offset < read;) offset += await to.write(buffer.subarray(offset, read));
    }
  } finally {
    closeQuietly(to);
  }
}

function closeQuietly(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // Closed already.
  }
}
