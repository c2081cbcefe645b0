/** Ends TLS in front of a hub, as a deployment's proxy does: for https://perch.example and everything below tunnels.example. */
import { join } from "node:path";
import { closeQuietly, readAll, writeAll } from "./pipe.ts";

/** A key and a certificate that are the tests' own and secret to nobody. */
const files = join(import.meta.dirname!, "../fixtures/tls");

export class TlsProxy implements AsyncDisposable {
  readonly #listener: Deno.TlsListener;
  readonly #open = new Set<Deno.Conn>();
  readonly #served: Promise<void>;

  /** @param backendPort where the hub is, on this machine */
  constructor(backendPort: number) {
    this.#listener = Deno.listenTls({
      hostname: "127.0.0.1",
      port: 0,
      cert: Deno.readTextFileSync(join(files, "cert.pem")),
      key: Deno.readTextFileSync(join(files, "key.pem")),
    });
    this.#served = this.#serve(backendPort);
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  async #serve(backendPort: number): Promise<void> {
    const running = new Set<Promise<void>>();
    for (;;) {
      let client: Deno.TlsConn;
      try {
        client = await this.#listener.accept();
      } catch {
        break;
      }
      const one: Promise<void> = this.#join(client, backendPort).catch(() => {}).finally(() => running.delete(one));
      running.add(one);
    }
    await Promise.all(running);
  }

  async #join(client: Deno.TlsConn, backendPort: number): Promise<void> {
    const pair: Deno.Conn[] = [client];
    this.#open.add(client);
    try {
      const backend = await Deno.connect({ hostname: "127.0.0.1", port: backendPort });
      pair.push(backend);
      this.#open.add(backend);
      await Promise.race([
        readAll(client, (chunk) => writeAll(backend, chunk)),
        readAll(backend, (chunk) => writeAll(client, chunk)),
      ]);
    } finally {
      for (const connection of pair) {
        this.#open.delete(connection);
        closeQuietly(connection);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const connection of this.#open) closeQuietly(connection);
    await this.#served;
  }
}
