/** Keeps what a tool printed inside a bound: the beginning and the end stay, the middle goes and is counted. Pure. */

export interface ToolOutput {
  /** All of the text while it fits, else its beginning. */
  head: string;
  /** The end of the text once it no longer fits, else empty. */
  tail: string;
  /** Characters missing between head and tail. */
  cut: number;
}

export const emptyOutput: ToolOutput = { head: "", tail: "", cut: 0 };

/** `text` up to UTF-16 length `length`, never ending in half of a surrogate pair. */
export function takeStart(text: string, length: number): string {
  if (length <= 0) return "";
  if (length >= text.length) return text;
  const last = text.charCodeAt(length - 1);
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? length - 1 : length);
}

/** The last `length` UTF-16 units of `text`, never beginning with half of a surrogate pair. */
export function takeEnd(text: string, length: number): string {
  if (length <= 0) return "";
  if (length >= text.length) return text;
  const first = text.charCodeAt(text.length - length);
  return text.slice(text.length - (first >= 0xdc00 && first <= 0xdfff ? length - 1 : length));
}

/** `text` in at most `length` characters, with an ellipsis where it was shortened. */
export function clip(text: string, length: number): string {
  return text.length <= length ? text : `${takeStart(text, length - 1)}…`;
}

/** The output with `text` added; never holds more than `maxChars` characters. */
export function appendOutput(output: ToolOutput, text: string, maxChars: number): ToolOutput {
  if (output.cut === 0) {
    const whole = output.head + text;
    if (whole.length <= maxChars) return { head: whole, tail: "", cut: 0 };
    const head = takeStart(whole, Math.floor(maxChars / 2));
    const tail = takeEnd(whole, Math.floor(maxChars / 2));
    return { head, tail, cut: whole.length - head.length - tail.length };
  }
  const grown = output.tail + text;
  const tail = takeEnd(grown, Math.floor(maxChars / 2));
  return { head: output.head, tail, cut: output.cut + grown.length - tail.length };
}

/** The output as it is shown: with a line in the gap that says how much is missing. */
export function showOutput(output: ToolOutput): string {
  if (output.cut === 0) return output.head;
  return `${output.head}\n[… ${output.cut} characters cut …]\n${output.tail}`;
}

/**
 * What to append to `shown` so that it becomes `next`, or null when `next` is not a longer version of it (agents that
 * report output as "everything so far" now and then send only its end, or another text altogether).
 */
export function grownBy(shown: string, next: string): string | null {
  return next.startsWith(shown) ? next.slice(shown.length) : null;
}
