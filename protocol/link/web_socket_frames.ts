/** WebSocket frames as a client reads and writes them (RFC 6455 §5). */

export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
export type Opcode = (typeof opcodes)[keyof typeof opcodes];

/** The server breaks RFC 6455, or sends more than is taken. */
export class WebSocketFrameError extends Error {
  override name = "WebSocketFrameError";
}

/** Size of the buffer that is read into: three full messages of the link and the room for a read. */
const READ_BYTES = 256 * 1024;
/** With less room than this left, what is not a whole message yet is moved to the buffer's start. */
const MIN_ROOM_BYTES = 64 * 1024;
const MAX_CONTROL_BYTES = 125;

export interface WebSocketFrameHandler {
  /** A whole message. Its bytes are written over after this. */
  onMessage(isText: boolean, bytes: Uint8Array<ArrayBuffer>): void;
  /** The bytes are written over after this. */
  onControl(opcode: 8 | 9 | 10, bytes: Uint8Array<ArrayBuffer>): void;
}

/** Cuts what a server sends into messages. All of it is read into one buffer, over and over: it leaves no garbage. */
export class WebSocketReader {
  readonly #handler: WebSocketFrameHandler;
  readonly #maxBytes: number;
  #buffer = new Uint8Array(READ_BYTES);
  #from = 0;
  #to = 0;
  /** Fragments of the message that is not whole yet. */
  #fragments: Uint8Array[] = [];
  #fragmentBytes = 0;
  #isText: boolean | null = null;

  constructor(handler: WebSocketFrameHandler, maxBytes: number) {
    this.#handler = handler;
    this.#maxBytes = maxBytes;
  }

  /** Where the next bytes are to be written; `filled` says how many they were. */
  room(): Uint8Array<ArrayBuffer> {
    if (this.#from === this.#to) {
      this.#from = this.#to = 0;
      if (this.#buffer.length > READ_BYTES) this.#buffer = new Uint8Array(READ_BYTES);
    } else if (this.#buffer.length - this.#to < MIN_ROOM_BYTES) this.#moveTo(0);
    return this.#buffer.subarray(this.#to);
  }

  /** Bytes were written into `room`. Hands over what is whole now. Throws WebSocketFrameError. */
  filled(bytes: number): void {
    this.#to += bytes;
    while (this.#next());
  }

  /** Takes bytes that were read elsewhere. Throws WebSocketFrameError. */
  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const room = this.room();
      const count = Math.min(room.length, bytes.length - at);
      room.set(bytes.subarray(at, at + count));
      at += count;
      this.filled(count);
    }
  }

  #next(): boolean {
    const buffer = this.#buffer;
    const available = this.#to - this.#from;
    if (available < 2) return false;
    const first = buffer[this.#from]!;
    const second = buffer[this.#from + 1]!;
    if ((first & 0x70) !== 0) throw new WebSocketFrameError("a frame has reserved bits set");
    if ((second & 0x80) !== 0) throw new WebSocketFrameError("a frame of the server is masked");
    const short = second & 0x7f;
    const headBytes = short === 126 ? 4 : short === 127 ? 10 : 2;
    if (available < headBytes) return this.#wait(headBytes);
    const view = new DataView(buffer.buffer, this.#from, headBytes);
    const length = short === 126 ? view.getUint16(2) : short === 127 ? Number(view.getBigUint64(2)) : short;
    if (length + this.#fragmentBytes > this.#maxBytes) {
      throw new WebSocketFrameError(`a message of ${length} bytes or more; at most ${this.#maxBytes} are taken`);
    }
    if (available < headBytes + length) return this.#wait(headBytes + length);
    const from = this.#from + headBytes;
    this.#from = from + length;
    this.#frame((first & 0x80) !== 0, first & 0x0f, buffer.subarray(from, from + length));
    return true;
  }

  #frame(isLast: boolean, opcode: number, payload: Uint8Array<ArrayBuffer>): void {
    switch (opcode) {
      case opcodes.close:
      case opcodes.ping:
      case opcodes.pong:
        if (!isLast || payload.length > MAX_CONTROL_BYTES) {
          throw new WebSocketFrameError("a control frame is too large");
        }
        this.#handler.onControl(opcode, payload);
        return;
      case opcodes.text:
      case opcodes.binary:
        if (this.#isText !== null) throw new WebSocketFrameError("a message begins within another");
        if (isLast) {
          this.#handler.onMessage(opcode === opcodes.text, payload);
          return;
        }
        this.#isText = opcode === opcodes.text;
        break;
      case opcodes.continuation:
        if (this.#isText === null) throw new WebSocketFrameError("a continuation without a beginning");
        break;
      default:
        throw new WebSocketFrameError(`opcode ${opcode} is unknown`);
    }
    this.#fragments.push(payload.slice());
    this.#fragmentBytes += payload.length;
    if (!isLast) return;
    const whole = new Uint8Array(this.#fragmentBytes);
    let at = 0;
    for (const fragment of this.#fragments) {
      whole.set(fragment, at);
      at += fragment.length;
    }
    const isText = this.#isText!;
    this.#fragments = [];
    this.#fragmentBytes = 0;
    this.#isText = null;
    this.#handler.onMessage(isText, whole);
  }

  /** Makes sure that a frame of this size fits behind what is read of it. */
  #wait(frameBytes: number): false {
    if (this.#from + frameBytes > this.#buffer.length) this.#moveTo(frameBytes + MIN_ROOM_BYTES);
    return false;
  }

  /** Moves what is not handed over yet to the start of a buffer with so much room, at least; this one when it will do. */
  #moveTo(bytes: number): void {
    const rest = this.#to - this.#from;
    const needed = Math.max(READ_BYTES, bytes, rest + MIN_ROOM_BYTES);
    if (this.#buffer.length === needed) this.#buffer.copyWithin(0, this.#from, this.#to);
    else {
      const buffer = new Uint8Array(needed);
      buffer.set(this.#buffer.subarray(this.#from, this.#to));
      this.#buffer = buffer;
    }
    this.#from = 0;
    this.#to = rest;
  }
}

/** Longest head of a client's frame. */
export const MAX_HEAD_BYTES = 14;

/** Writes a masked frame to `target` at `at`, where MAX_HEAD_BYTES and the payload must fit. Returns where it ends. */
export function writeClientFrame(
  target: Uint8Array<ArrayBuffer>,
  at: number,
  opcode: Opcode,
  payload: Uint8Array,
  mask: number,
): number {
  const view = new DataView(target.buffer, target.byteOffset);
  const { length } = payload;
  target[at] = 0x80 | opcode;
  let from = at + 2;
  if (length < 126) target[at + 1] = 0x80 | length;
  else if (length < 0x10000) {
    target[at + 1] = 0x80 | 126;
    view.setUint16(from, length);
    from += 2;
  } else {
    target[at + 1] = 0x80 | 127;
    view.setBigUint64(from, BigInt(length));
    from += 8;
  }
  view.setUint32(from, mask);
  from += 4;
  target.set(payload, from);
  applyMask(target, from, from + length, mask);
  return from + length;
}

/** XORs bytes with a mask whose first byte is its highest: four at a time where they are aligned. */
function applyMask(bytes: Uint8Array<ArrayBuffer>, from: number, to: number, mask: number): void {
  const maskByte = (index: number) => (mask >>> (24 - 8 * (index & 3))) & 0xff;
  const alignedFrom = from + (-(bytes.byteOffset + from) & 3);
  const wordCount = Math.max(0, (to - alignedFrom) >> 2);
  if (wordCount > 0) {
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset + alignedFrom, wordCount);
    const [a, b, c, d] = [0, 1, 2, 3].map((i) => maskByte(alignedFrom - from + i)) as [number, number, number, number];
    const word = IS_LITTLE_ENDIAN ? (d << 24) | (c << 16) | (b << 8) | a : (a << 24) | (b << 16) | (c << 8) | d;
    for (let i = 0; i < wordCount; i++) words[i]! ^= word;
  }
  const unalignedTo = Math.min(alignedFrom, to);
  for (let at = from; at < unalignedTo; at++) bytes[at]! ^= maskByte(at - from);
  for (let at = Math.max(alignedFrom + 4 * wordCount, unalignedTo); at < to; at++) bytes[at]! ^= maskByte(at - from);
}

const IS_LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;
