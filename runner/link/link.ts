/** The runner's data link: one binary WebSocket to the hub, which opens streams over it to terminals and local ports. */
import { setImmediate } from "node:timers";
import { encodePing, LinkProtocolError } from "@/protocol/link/codec.ts";
import { linkServer, type RegisterLink } from "@/protocol/link/hello.ts";
import { Multiplexer } from "@/protocol/link/multiplexer.ts";
import { linkLimits, type LinkStream, type StreamAcceptors, StreamHeader } from "@/protocol/link/types.ts";
import { parseFrame, PROTOCOL_VERSION } from "@/protocol/mod.ts";
import type { BackoffOptions } from "../backoff.ts";
import { HubSocket, type HubTarget } from "../hub_socket.ts";
import type { Log } from "../log.ts";
import { AcceptorTable } from "./acceptors.ts";

export interface DataLinkOptions {
  runnerId: string;
  target(): HubTarget;
  write: Log;
  backoff?: BackoffOptions;
  /** See HubSocketOptions. */
  heartbeatMs?: number;
  silenceMs?: number;
}

export class DataLink implements StreamAcceptors {
  readonly #options: DataLinkOptions;
  readonly #acceptors = new AcceptorTable();
  readonly #socket: HubSocket;
  readonly #ping = encodePing();
  #multiplexer: Multiplexer<StreamHeader> | null = null;

  constructor(options: DataLinkOptions) {
    this.#options = options;
    this.#socket = new HubSocket({
      path: "/ws/link",
      target: options.target,
      backoff: options.backoff,
      heartbeatMs: options.heartbeatMs,
      silenceMs: options.silenceMs ?? linkLimits.silenceMs,
      ping: () => this.#multiplexer === null ? null : this.#ping,
      handlers: {
        onOpen: () => this.#register(),
        onFrame: (data) => this.#onFrame(data),
        onClose: (reason) => this.#onClose(reason),
        // The runner's own socket is refused for the same reason, and decides what follows from it.
        onRefused: (refusal, reason) =>
          options.write("warning", `the hub refuses the data link: ${refusal}`, { reason }),
      },
    });
  }

  /** See StreamAcceptors.accept. */
  accept<K extends StreamHeader["kind"]>(
    kind: K,
    acceptor: (stream: LinkStream, header: Extract<StreamHeader, { kind: K }>) => void,
  ): void {
    this.#acceptors.accept(kind, acceptor);
  }

  /** Connects, or skips a running back-off. The hub must know the runner by now. Does nothing while connected. */
  connect(): void {
    this.#socket.restart();
  }

  #register(): void {
    const { runnerId } = this.#options;
    const hello: RegisterLink = { type: "register_link", protocolVersion: PROTOCOL_VERSION, runnerId };
    this.#socket.send(JSON.stringify(hello));
  }

  #onFrame(data: unknown): void {
    if (typeof data === "string") this.#onText(data);
    else if (data instanceof Uint8Array && this.#multiplexer !== null) this.#multiplexer.receive(data, "borrowed");
    else this.#socket.reconnect("the hub sent frames before link_registered");
  }

  #onText(text: string): void {
    const { write } = this.#options;
    const frame = parseFrame(linkServer, text);
    for (const error of frame.errors) write("warning", "the hub sent a message that is not valid", { error });
    for (const message of frame.messages) {
      switch (message.type) {
        case "link_registered":
          this.#onRegistered();
          break;
        case "error":
          // It closes the socket afterwards.
          write("warning", `the hub reports of the data link ${message.code}: ${message.message}`);
          break;
        case "going_away":
          write("info", `the hub is about to stop and closes the data link within ${message.inMs} ms`);
          break;
      }
    }
  }

  #onRegistered(): void {
    if (this.#multiplexer !== null) {
      this.#socket.reconnect("the hub registered the link twice");
      return;
    }
    this.#socket.confirm();
    this.#multiplexer = new Multiplexer({
      header: StreamHeader,
      transport: {
        // A socket that is closing takes nothing; its end fails every stream.
        send: (message) => void this.#socket.send(message),
        bufferedBytes: () => this.#socket.bufferedBytes(),
      },
      onStream: (stream) => this.#acceptors.take(stream),
      // What several streams have to say in one turn of the event loop goes in one message.
      schedule: (pump) => void setImmediate(pump),
      onFailed: (error: LinkProtocolError) => this.#socket.reconnect(error.message),
    });
    this.#options.write("info", "the data link is connected");
  }

  #onClose(reason: string): void {
    const multiplexer = this.#multiplexer;
    this.#multiplexer = null;
    multiplexer?.lost(reason);
  }

  /** Closes the link for good; every stream fails with `link_lost`. */
  close(): void {
    this.#socket.close();
    this.#onClose("the runner is stopping");
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
