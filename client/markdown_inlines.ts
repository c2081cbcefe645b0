/**
 * What is inside a line of markdown: emphasis, code, links. Pure, and close to linear in the length of the text whatever
 * it holds. The result is data; nothing in it is ever markup.
 */
export type Inline =
  | { type: "text"; text: string }
  | { type: "code"; text: string }
  | { type: "break" }
  | { type: "strong" | "em" | "del"; inlines: Inline[] }
  | { type: "link"; href: string; inlines: Inline[] }
  | { type: "image"; href: string; text: string };

/** A run of emphasis characters that may open or close something. */
interface Run {
  type: "run";
  char: string;
  count: number;
  canOpen: boolean;
  canClose: boolean;
}
type Part = Inline | Run | { type: "bracket"; isImage: boolean };

/** Emphasis and brackets nested deeper than this stay text. */
const NESTING_MAX = 12;
/** An address longer than this is text. */
const HREF_MAX_CHARS = 2_000;
/** So is one with parentheses nested deeper than this (the bound that CommonMark names). */
const PARENS_MAX = 32;

/** Parses the inlines of a block's text. */
export function readInlines(text: string): Inline[] {
  return new Reader(text).read();
}

/** The text of inlines without their formatting. */
export function plainText(inlines: readonly Inline[]): string {
  return inlines.map((inline) => "text" in inline ? inline.text : "inlines" in inline ? plainText(inline.inlines) : " ")
    .join("");
}

class Reader {
  readonly #text: string;
  #at = 0;
  #parts: Part[] = [];
  /** Places of the open brackets in `#parts`. */
  #brackets: number[] = [];
  #ticks: Map<number, number[]> | null = null;

  constructor(text: string) {
    this.#text = text;
  }

  read(): Inline[] {
    const special = /[\\`*_~[\]!<&\n]|https?:\/\//g;
    while (this.#at < this.#text.length) {
      special.lastIndex = this.#at;
      const found = special.exec(this.#text);
      const end = found?.index ?? this.#text.length;
      if (end > this.#at) this.#push(this.#text.slice(this.#at, end));
      this.#at = end;
      if (found) this.#special(found[0]);
    }
    return nest(this.#parts);
  }

  #push(text: string): void {
    const last = this.#parts.at(-1);
    if (last?.type === "text") last.text += text;
    else this.#parts.push({ type: "text", text });
  }

  /** Reads what begins at a special character, or takes the character as text. */
  #special(found: string): void {
    const isRead = found === "\\"
      ? this.#escape()
      : found === "`"
      ? this.#code()
      : "*_~".includes(found)
      ? this.#run(found)
      : found === "[" || found === "!"
      ? this.#open(found === "!")
      : found === "]"
      ? this.#close()
      : found === "<"
      ? this.#angle()
      : found === "&"
      ? this.#entity()
      : found === "\n"
      ? this.#newline()
      : this.#address();
    if (isRead) return;
    this.#push(this.#text[this.#at]!);
    this.#at++;
  }

  #escape(): boolean {
    const next = this.#text[this.#at + 1];
    if (next === undefined || !/[!-/:-@[-`{-~\n]/.test(next)) return false;
    if (next === "\n") this.#parts.push({ type: "break" });
    else this.#push(next);
    this.#at += 2;
    return true;
  }

  #newline(): boolean {
    const last = this.#parts.at(-1);
    this.#at++;
    if (last?.type !== "text") return this.#push("\n"), true;
    const isHard = last.text.endsWith("  ");
    last.text = last.text.trimEnd();
    if (isHard) this.#parts.push({ type: "break" });
    else this.#push("\n");
    return true;
  }

  /** A code span ends at the next run of as many backticks. The runs are looked up, not searched for again and again. */
  #code(): boolean {
    const runs = this.#ticks ??= tickRuns(this.#text);
    const count = runLength(this.#text, this.#at, "`");
    const places = runs.get(count) ?? [];
    const close = places.find((place) => place > this.#at);
    while (places.length > 0 && places[0]! <= this.#at) places.shift();
    if (close === undefined) {
      this.#push("`".repeat(count));
      this.#at += count;
      return true;
    }
    let text = this.#text.slice(this.#at + count, close).replaceAll("\n", " ");
    if (text.startsWith(" ") && text.endsWith(" ") && text.trim() !== "") text = text.slice(1, -1);
    this.#parts.push({ type: "code", text });
    this.#at = close + count;
    return true;
  }

  #run(char: string): boolean {
    const count = runLength(this.#text, this.#at, char);
    const before = this.#text[this.#at - 1] ?? " ";
    const after = this.#text[this.#at + count] ?? " ";
    this.#at += count;
    const isLeft = !isSpace(after) && (!isPunctuation(after) || isSpace(before) || isPunctuation(before));
    const isRight = !isSpace(before) && (!isPunctuation(before) || isSpace(after) || isPunctuation(after));
    const isWord = char === "_";
    const canOpen = isLeft && (!isWord || !isRight || isPunctuation(before));
    const canClose = isRight && (!isWord || !isLeft || isPunctuation(after));
    if ((!canOpen && !canClose) || (char === "~" && count !== 2)) this.#push(char.repeat(count));
    else this.#parts.push({ type: "run", char, count, canOpen, canClose });
    return true;
  }

  #open(isImage: boolean): boolean {
    if (isImage && this.#text[this.#at + 1] !== "[") return false;
    if (this.#brackets.length >= NESTING_MAX) this.#brackets.shift();
    this.#brackets.push(this.#parts.length);
    this.#parts.push({ type: "bracket", isImage });
    this.#at += isImage ? 2 : 1;
    return true;
  }

  #close(): boolean {
    const place = this.#brackets.pop();
    if (place === undefined) return false;
    const target = readTarget(this.#text, this.#at + 1);
    if (!target) return false;
    const bracket = this.#parts[place] as { type: "bracket"; isImage: boolean };
    const inlines = nest(this.#parts.splice(place).slice(1));
    const { href } = target;
    this.#parts.push(
      bracket.isImage ? { type: "image", href, text: plainText(inlines) } : { type: "link", href, inlines },
    );
    // A link holds no link: what was open before it is text.
    if (!bracket.isImage) this.#brackets = [];
    this.#at = target.end;
    return true;
  }

  #angle(): boolean {
    const link = /<((?:https?:\/\/|mailto:)[^\s<>]{1,2000})>/y;
    link.lastIndex = this.#at;
    const found = link.exec(this.#text);
    if (!found) return false;
    this.#parts.push({ type: "link", href: found[1]!, inlines: [{ type: "text", text: found[1]! }] });
    this.#at = link.lastIndex;
    return true;
  }

  #entity(): boolean {
    const entity = /&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|(amp|lt|gt|quot|apos|nbsp));/y;
    entity.lastIndex = this.#at;
    const found = entity.exec(this.#text);
    if (!found) return false;
    const code = found[1] !== undefined ? Number(found[1]) : found[2] !== undefined ? parseInt(found[2], 16) : null;
    if (code !== null && (code < 32 || code > 0x10ffff)) return false;
    this.#push(code !== null ? String.fromCodePoint(code) : ENTITIES[found[3]!]!);
    this.#at = entity.lastIndex;
    return true;
  }

  /** A bare address. Punctuation at its end belongs to the sentence. */
  #address(): boolean {
    const before = this.#text[this.#at - 1];
    if (before !== undefined && /[A-Za-z0-9]/.test(before)) return false;
    const address = /https?:\/\/[^\s<>"`*|\\\]]{1,2000}/y;
    address.lastIndex = this.#at;
    let href = address.exec(this.#text)?.[0];
    if (!href) return false;
    const isClosed = href.includes("(");
    href = href.replace(isClosed ? /[.,;:!?'_~]+$/ : /[.,;:!?'_~)]+$/, "");
    if (!/^https?:\/\/[^/]/.test(href)) return false;
    this.#parts.push({ type: "link", href, inlines: [{ type: "text", text: href }] });
    this.#at += href.length;
    return true;
  }
}

const ENTITIES: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0" };
const isSpace = (char: string) => /\s/.test(char);
const isPunctuation = (char: string) => /[\p{P}\p{S}]/u.test(char);

function runLength(text: string, at: number, char: string): number {
  let end = at;
  while (text[end] === char) end++;
  return end - at;
}

/** Places of the runs of backticks, by their length. */
function tickRuns(text: string): Map<number, number[]> {
  const runs = new Map<number, number[]>();
  for (const { 0: run, index } of text.matchAll(/`+/g)) {
    const places = runs.get(run.length);
    if (places) places.push(index);
    else runs.set(run.length, [index]);
  }
  return runs;
}

/** "(address)" or '(address "title")' at a place; the title is not shown. */
function readTarget(text: string, at: number): { href: string; end: number } | null {
  if (text[at] !== "(") return null;
  const angle = /\(\s{0,9}<([^<>\n]{0,2000})>\s{0,9}\)/y;
  angle.lastIndex = at;
  const found = angle.exec(text);
  if (found) return { href: found[1]!, end: angle.lastIndex };
  let depth = 0;
  let href = "";
  let end = at + 1;
  while (end < text.length && isSpace(text[end]!)) end++;
  for (; end < text.length && href.length <= HREF_MAX_CHARS; end++) {
    const char = text[end]!;
    if (isSpace(char) || (char === ")" && depth === 0)) break;
    if (char === "(" && ++depth > PARENS_MAX) return null;
    if (char === ")") depth--;
    if (char === "\\" && /[()\\]/.test(text[end + 1] ?? "")) end++;
    href += text[end];
  }
  const close = /\s{0,9}(?:"[^"\n]{0,500}"|'[^'\n]{0,500}')?\s{0,9}\)/y;
  close.lastIndex = end;
  return close.exec(text) ? { href, end: close.lastIndex } : null;
}

interface Frame {
  /** What opened it; null at the bottom. */
  run: Run | null;
  inlines: Inline[];
}

/** Pairs the runs of emphasis; what has no partner is text. */
function nest(parts: readonly Part[]): Inline[] {
  const frames: Frame[] = [{ run: null, inlines: [] }];
  const add = (inline: Inline) => frames.at(-1)!.inlines.push(inline);
  /** The topmost frame becomes text and what it held. */
  const collapse = () => {
    const { run, inlines } = frames.pop()!;
    add({ type: "text", text: run!.char.repeat(run!.count) });
    for (const inline of inlines) add(inline);
  };
  for (const part of parts) {
    if (part.type === "bracket") add({ type: "text", text: part.isImage ? "![" : "[" });
    else if (part.type !== "run") add(part);
    else {
      const run = { ...part };
      while (run.canClose && run.count > 0) {
        const opener = frames.findLastIndex((frame) => frame.run?.char === run.char);
        if (opener < 0) break;
        while (frames.length - 1 > opener) collapse();
        const frame = frames[opener]!;
        const used = run.count >= 2 && frame.run!.count >= 2 ? 2 : 1;
        const type = run.char === "~" ? "del" : used === 2 ? "strong" : "em";
        const inline: Inline = { type, inlines: frame.inlines };
        frame.run!.count -= used;
        run.count -= used;
        if (frame.run!.count === 0) {
          frames.pop();
          add(inline);
        } else frame.inlines = [inline];
      }
      if (run.count === 0) continue;
      if (run.canOpen && frames.length <= NESTING_MAX) frames.push({ run, inlines: [] });
      else add({ type: "text", text: run.char.repeat(run.count) });
    }
  }
  while (frames.length > 1) collapse();
  return frames[0]!.inlines;
}
