/**
 * Which part of a flood of plain lines need not be emulated: text that will have scrolled out of the scrollback leaves no trace.
 * Pure. This is what lets a terminal take a `cat` of any length at the speed of its pty.
 */

const ESC = 0x1b;
/** What changes more than the screen's text, or is to be noticed: bell, shift out and in, escape, and the C1 controls' first byte. */
const notPlain = [ESC, 0x07, 0x0e, 0x0f];
const C1_LEAD = 0xc2;
const LF = 0x0a;
const CR = 0x0d;

/** Whether these bytes hold text and simple line controls alone, so that what they leave behind is text. */
export function isPlain(bytes: Uint8Array): boolean {
  for (const byte of notPlain) if (bytes.includes(byte)) return false;
  for (let at = bytes.indexOf(C1_LEAD); at >= 0; at = bytes.indexOf(C1_LEAD, at + 1)) {
    const next = bytes[at + 1];
    // At the very end nobody knows yet what follows.
    if (next === undefined || (next >= 0x80 && next < 0xa0)) return false;
  }
  return true;
}

/**
 * How many of the first bytes may be left out when at least `keptLines` whole lines follow them: a position right after a CR LF, where
 * the cursor stands at the left edge whatever came before. 0: nothing may.
 */
export function droppableBytes(bytes: Uint8Array, keptLines: number): number {
  let at = bytes.length;
  for (let lines = 0; lines <= keptLines; lines++) {
    at = at === 0 ? -1 : bytes.lastIndexOf(LF, at - 1);
    if (at < 0) return 0;
  }
  while (at > 0 && bytes[at - 1] !== CR) {
    at = bytes.lastIndexOf(LF, at - 1);
  }
  return at > 0 ? at + 1 : 0;
}
