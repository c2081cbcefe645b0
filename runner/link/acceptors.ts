/** Who takes the streams that the hub opens, by kind. */
import type { LinkStream, StreamAcceptors, StreamHeader } from "@/protocol/link/types.ts";

type Kind = StreamHeader["kind"];
type Acceptor = (stream: LinkStream, header: StreamHeader) => void;

export class AcceptorTable implements StreamAcceptors {
  readonly #acceptors = new Map<Kind, Acceptor>();

  /** See StreamAcceptors.accept. */
  accept<K extends Kind>(
    kind: K,
    acceptor: (stream: LinkStream, header: Extract<StreamHeader, { kind: K }>) => void,
  ): void {
    if (this.#acceptors.has(kind)) throw new Error(`streams of kind "${kind}" have an acceptor already`);
    // It is called for headers of this kind only.
    this.#acceptors.set(kind, acceptor as Acceptor);
  }

  /** Hands a new stream to its acceptor; resets it with `refused` when its kind has none. */
  take(stream: LinkStream): void {
    const acceptor = this.#acceptors.get(stream.header.kind);
    if (acceptor === undefined) stream.reset("refused", `this runner takes no streams of kind "${stream.header.kind}"`);
    else acceptor(stream, stream.header);
  }
}
