/** The bytes of keys that a touch screen's keyboard lacks. Pure. */

export type ArrowKey = "up" | "down" | "right" | "left";
export interface Modifiers {
  ctrl: boolean;
  alt: boolean;
}

const finals: Readonly<Record<ArrowKey, string>> = { up: "A", down: "B", right: "C", left: "D" };

/** An arrow key as xterm sends it. `isApplication`: the program asked for application cursor keys (DECCKM). */
export function arrowBytes(key: ArrowKey, isApplication: boolean, { ctrl, alt }: Modifiers): string {
  const modifier = 1 + (alt ? 2 : 0) + (ctrl ? 4 : 0);
  if (modifier > 1) return `\x1b[1;${modifier}${finals[key]}`;
  return `\x1b${isApplication ? "O" : "["}${finals[key]}`;
}

/** What typed text becomes while Ctrl or Alt is armed. Of longer text (a composed word) the first character alone. */
export function modified(text: string, { ctrl, alt }: Modifiers): string {
  if (text === "" || text.startsWith("\x1b")) return text;
  const [first = "", ...rest] = text;
  return (alt ? "\x1b" : "") + (ctrl ? controlOf(first) : first) + rest.join("");
}

/** The control character of a key, as in xterm: letters, and @ [ \ ] ^ _ ? and what stands for them without Shift. */
function controlOf(character: string): string {
  const code = character.toUpperCase().charCodeAt(0);
  if (code >= 0x40 && code <= 0x5f) return String.fromCharCode(code & 0x1f);
  const others: Readonly<Record<string, string>> = {
    " ": "\x00",
    "2": "\x00",
    "3": "\x1b",
    "4": "\x1c",
    "5": "\x1d",
    "6": "\x1e",
    "7": "\x1f",
    "8": "\x7f",
    "?": "\x7f",
    "/": "\x1f",
    "`": "\x00",
    "{": "\x1b",
    "|": "\x1c",
    "}": "\x1d",
    "~": "\x1e",
  };
  return others[character] ?? character;
}
