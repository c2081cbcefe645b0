/**
 * The stream that the relay bench sends, one message a frame: agent messages of an opening record, eight deltas and a closing
 * record. Each message holds the byte "@" exactly once (in its entry id), so that receivers can count messages by that byte.
 */
export const MARK = "@".charCodeAt(0);
const DELTAS = 8;
const TEXT = "The quick brown fox jumps over the lazy dog and runs home. ";

export interface StreamMessage {
  json: string;
  /** A durable record, to be acknowledged; else a delta. */
  isRecord: boolean;
}

export class MessageStream {
  readonly #sessionId: string;
  readonly #epoch: number;
  #seq = 0;
  #index = -1;
  #step = 0;

  constructor(sessionId: string, epoch: number) {
    this.#sessionId = sessionId;
    this.#epoch = epoch;
  }

  next(): StreamMessage {
    const step = this.#step;
    this.#step = (step + 1) % (DELTAS + 2);
    if (step === 0) {
      this.#index++;
      return this.#record("running", "");
    }
    if (step === DELTAS + 1) return this.#record("completed", TEXT.repeat(DELTAS));
    const message = {
      type: "delta",
      sessionId: this.#sessionId,
      epoch: this.#epoch,
      entryId: this.#entryId(),
      at: (step - 1) * TEXT.length,
      text: TEXT,
    };
    return { json: JSON.stringify(message), isRecord: false };
  }

  #entryId(): string {
    return `m@${this.#index}`;
  }

  #record(status: string, text: string): StreamMessage {
    const message = {
      type: "event",
      sessionId: this.#sessionId,
      epoch: this.#epoch,
      seq: ++this.#seq,
      entry: {
        id: this.#entryId(),
        index: this.#index,
        kind: "agent_message",
        head: { status, startedAt: 1_700_000_000_000, textLength: text.length },
        body: { text },
      },
    };
    return { json: JSON.stringify(message), isRecord: true };
  }
}
