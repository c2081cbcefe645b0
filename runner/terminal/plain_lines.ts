/**
 * Which part of a flood of plain lines need not be emulated: text that will have scrolled out of the scrollback leaves no trace.
 * Pure. This is what lets a terminal take a `cat` of any length at the speed of its pty.
 */

const LF = 0x0a;
const CR = 0x0d;
const C1_LEAD = 0xc2;
/** What changes more than the screen's text, or is to be noticed: bell, shift out and in, escape; 2: the C1 controls' first byte. */
const kinds = Uint8Array.from(
  { length: 256 },
  (_, byte) => byte === C1_LEAD ? 2 : [7, 14, 15, 27].includes(byte) ? 1 : 0,
);

/** Whether these bytes hold text and simple line controls alone, so that what they leave behind is text. */
export function isPlain(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at++) {
    const kind = kinds[bytes[at]!];
    if (kind === 0) continue;
    if (kind === 1) return false;
    const next = bytes[at + 1];
    // At the very end nobody knows yet what follows.
    if (next === undefined || (next >= 0x80 && next < 0xa0)) return false;
  }
  return true;
}

/**
 * How many of the first bytes of a text may be left out when at least `keptLines` whole lines follow them: a position right after a
 * CR LF, where the cursor stands at the left edge whatever came before. 0: nothing may.
 *
 * @param parts the text in pieces, none of them empty
 */
export function droppableBytes(parts: readonly Uint8Array[], keptLines: number): number {
  let lines = 0;
  for (let index = parts.length - 1; index >= 0; index--) {
    const part = parts[index]!;
    for (let at = part.lastIndexOf(LF); at >= 0; at = at === 0 ? -1 : part.lastIndexOf(LF, at - 1)) {
      lines++;
      const before = at > 0 ? part[at - 1] : parts[index - 1]?.at(-1);
      if (lines > keptLines && before === CR) return byteLengthOf(parts.slice(0, index)) + at + 1;
    }
  }
  return 0;
}

/** The bytes of all pieces. */
export function byteLengthOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, { length }) => sum + length, 0);
}
