/** The runner's end of all tunnels: takes their streams off the data link, and the hub's wishes about exposed ports. */
import type { LinkStream, StreamAcceptors } from "@/protocol/link/types.ts";
import type { ExposePort, TunnelResult, UnexposePort } from "@/protocol/tunnel.ts";
import { errorText, type Log } from "../log.ts";
import { ExposureError, type Exposures } from "./exposures.ts";
import { serveHttp } from "./http_stream.ts";
import { LocalPool } from "./local_pool.ts";
import { serveSocket } from "./socket_stream.ts";

export class RunnerTunnels {
  readonly #exposures: Exposures;
  readonly #write: Log;
  readonly #pool = new LocalPool();
  /** Streams under way, by tunnel: closing a tunnel cuts them. */
  readonly #live = new Map<string, Set<LinkStream>>();

  constructor(exposures: Exposures, write: Log) {
    this.#exposures = exposures;
    this.#write = write;
  }

  /** Takes the streams of tunnels. */
  register(acceptors: StreamAcceptors): void {
    acceptors.accept("http", (stream, header) => {
      const target = this.#targetOf(stream, header.tunnelId, header.port);
      if (target !== null) void this.#track(header.tunnelId, stream, serveHttp(stream, header, target, this.#pool));
    });
    acceptors.accept("websocket", (stream, header) => {
      const target = this.#targetOf(stream, header.tunnelId, header.port);
      if (target !== null) void this.#track(header.tunnelId, stream, serveSocket(stream, header, target, this.#pool));
    });
  }

  /** Carries out what the hub asks. Never throws. */
  answer(request: ExposePort | UnexposePort): TunnelResult {
    const { requestId } = request;
    try {
      if (request.type === "expose_port") {
        const { tunnelId, port, host, sessionId, expiresAt, others } = request;
        this.#exposures.add({ tunnelId, port, host, sessionId, expiresAt }, others);
        this.#write("info", `port ${port} is exposed`, { tunnelId, host, sessionId });
      } else {
        this.#exposures.remove(request.tunnelId);
        for (const stream of [...this.#live.get(request.tunnelId) ?? []]) {
          stream.reset("refused", "the tunnel was closed");
        }
        this.#write("info", "a tunnel is closed", { tunnelId: request.tunnelId });
      }
      return { type: "tunnel_result", requestId, ok: true };
    } catch (error) {
      if (!(error instanceof ExposureError)) this.#write("error", `tunnel: ${errorText(error)}`);
      return { type: "tunnel_result", requestId, ok: false, error: errorText(error).slice(0, 2_000) };
    }
  }

  #targetOf(stream: LinkStream, tunnelId: string, port: number) {
    const target = this.#exposures.targetOf(tunnelId, port);
    if (target === null) stream.reset("refused", `port ${port} is not exposed by this runner`);
    return target;
  }

  async #track(tunnelId: string, stream: LinkStream, work: Promise<void>): Promise<void> {
    let streams = this.#live.get(tunnelId);
    if (streams === undefined) this.#live.set(tunnelId, streams = new Set());
    streams.add(stream);
    await work;
    streams.delete(stream);
    if (streams.size === 0) this.#live.delete(tunnelId);
  }

  [Symbol.dispose](): void {
    for (const streams of this.#live.values()) for (const stream of streams) stream.reset("cancelled");
    this.#pool[Symbol.dispose]();
  }
}
