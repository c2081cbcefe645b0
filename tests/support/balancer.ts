/** A plain TCP balancer: connections go to the backends in turn, whoever makes them; one that refuses is skipped. */
import { closeQuietly, readAll, sendAtOnce, writeAll } from "./pipe.ts";

export class Balancer implements AsyncDisposable {
  readonly #listener: Deno.TcpListener;
  readonly #ports: () => readonly number[];
  readonly #open = new Set<Deno.Conn>();
  readonly #served: Promise<void>;
  #turn = 0;

  /** `ports`: the backends on 127.0.0.1, asked for at each connection. */
  constructor(ports: () => readonly number[]) {
    this.#ports = ports;
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.#served = this.#serve();
  }

  get host(): string {
    return `127.0.0.1:${this.#listener.addr.port}`;
  }
  get url(): string {
    return `http://${this.host}`;
  }

  async #serve(): Promise<void> {
    const running = new Set<Promise<void>>();
    for await (const client of this.#listener) {
      const one: Promise<void> = this.#join(client).catch(() => {}).finally(() => running.delete(one));
      running.add(one);
    }
    await Promise.all(running);
  }

  async #join(client: Deno.TcpConn): Promise<void> {
    this.#open.add(client);
    const pair = [client];
    try {
      const server = await this.#connect();
      if (server === null) return;
      pair.push(server);
      sendAtOnce(client, server);
      this.#open.add(server);
      // Whichever side ends, the other is ended too.
      await Promise.race([
        readAll(client, (chunk) => writeAll(server, chunk)),
        readAll(server, (chunk) => writeAll(client, chunk)),
      ]);
    } finally {
      for (const connection of pair) {
        this.#open.delete(connection);
        closeQuietly(connection);
      }
    }
  }

  /** The next backend that takes the connection; null when none does. */
  async #connect(): Promise<Deno.TcpConn | null> {
    const ports = this.#ports();
    for (let tried = 0; tried < ports.length; tried++) {
      const port = ports[this.#turn++ % ports.length]!;
      try {
        return await Deno.connect({ hostname: "127.0.0.1", port });
      } catch {
        // Dead, or starting.
      }
    }
    return null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const connection of this.#open) closeQuietly(connection);
    await this.#served;
  }
}
