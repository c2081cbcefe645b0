/**
 * The blocks of a markdown text: what agents write of CommonMark and GitHub's tables and task lists. Pure, and linear in
 * the length of the text whatever it holds; what is inside a block is parsed when the block is shown.
 *
 * Our own, because what an agent prints is hostile: of the libraries small enough for a page, marked 18 takes 8 minutes for
 * 200,000 characters of `_a*` and overflows the stack at 20,000 of `>`; micromark does the latter too, and takes 2 s where this takes 0.1.
 */
export type Block = { raw: string } & BlockKind;
type BlockKind =
  | { type: "heading"; level: number; text: string }
  | { type: "paragraph"; text: string }
  | { type: "code"; language: string; text: string }
  /** Its lines without their markers: blocks again. */
  | { type: "quote"; lines: string[] }
  | { type: "list"; start: number | null; isLoose: boolean; items: ListItem[] }
  | { type: "table"; align: Align[]; header: string[]; rows: string[][] }
  | { type: "rule" };

export interface ListItem {
  /** Null: not a task. */
  isDone: boolean | null;
  lines: string[];
}
export type Align = "left" | "center" | "right" | null;

interface Read {
  block: BlockKind;
  /** Line after the block. */
  next: number;
}

const TAB = /\t/g;
const MARKER = /^( {0,3})([-*+]|\d{1,9}[.)])( +|$)/;

/** Splits lines into blocks. */
export function readBlocks(lines: readonly string[]): Block[] {
  const blocks: Block[] = [];
  for (let at = 0; at < lines.length;) {
    if (isBlank(lines[at]!)) {
      at++;
      continue;
    }
    const { block, next } = readBlock(lines, at);
    blocks.push({ ...block, raw: lines.slice(at, next).join("\n") });
    at = next;
  }
  return blocks;
}

/** The lines of a text, tabs at their start as spaces. */
export function linesOf(text: string): string[] {
  return text.split(/\r\n?|\n/).map((line) => /^ *\t/.test(line) ? line.replace(/^[ \t]+/, expandTabs) : line);
}

const expandTabs = (indent: string) => indent.replace(TAB, "    ");
const isBlank = (line: string) => line.trim() === "";
const indentOf = (line: string) => line.length - line.trimStart().length;

function readBlock(lines: readonly string[], at: number): Read {
  return readFence(lines, at) ?? readIndentedCode(lines, at) ?? readHeading(lines, at) ?? readRule(lines, at) ??
    readQuote(lines, at) ?? readList(lines, at) ?? readTable(lines, at) ?? readParagraph(lines, at);
}

function readFence(lines: readonly string[], at: number): Read | null {
  const open = /^( {0,3})(`{3,}|~{3,})(.*)$/.exec(lines[at]!);
  if (!open || (open[2]!.startsWith("`") && open[3]!.includes("`"))) return null;
  const fence = open[2]!;
  const body: string[] = [];
  let next = at + 1;
  for (; next < lines.length; next++) {
    const line = lines[next]!;
    const close = line.trim();
    if (close.length >= fence.length && indentOf(line) < 4 && [...close].every((char) => char === fence[0])) break;
    body.push(line.slice(Math.min(open[1]!.length, indentOf(line))));
  }
  return { block: { type: "code", language: open[3]!.trim(), text: body.join("\n") }, next: next + 1 };
}

function readIndentedCode(lines: readonly string[], at: number): Read | null {
  if (indentOf(lines[at]!) < 4) return null;
  let next = at;
  while (next < lines.length && (isBlank(lines[next]!) || indentOf(lines[next]!) >= 4)) next++;
  while (isBlank(lines[next - 1]!)) next--;
  return {
    block: { type: "code", language: "", text: lines.slice(at, next).map((line) => line.slice(4)).join("\n") },
    next,
  };
}

function readHeading(lines: readonly string[], at: number): Read | null {
  const marker = /^ {0,3}(#{1,6})(?=[ \t]|$)/.exec(lines[at]!);
  if (!marker) return null;
  let text = lines[at]!.slice(marker[0].length).trim();
  const bare = text.replace(/#+$/, "");
  if (bare === "" || /\s$/.test(bare)) text = bare.trimEnd();
  return { block: { type: "heading", level: marker[1]!.length, text }, next: at + 1 };
}

const isRule = (line: string) => /^ {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$/.test(line);

function readRule(lines: readonly string[], at: number): Read | null {
  return isRule(lines[at]!) ? { block: { type: "rule" }, next: at + 1 } : null;
}

function readQuote(lines: readonly string[], at: number): Read | null {
  const inner: string[] = [];
  let next = at;
  for (; next < lines.length; next++) {
    const line = lines[next]!;
    const marker = /^ {0,3}> ?/.exec(line);
    if (marker) inner.push(line.slice(marker[0].length));
    // A paragraph may go on without its marker.
    else if (next > at && !isBlank(line) && !isBlank(inner.at(-1)!) && !startsBlock(lines, next)) inner.push(line);
    else break;
  }
  return next === at ? null : { block: { type: "quote", lines: inner }, next };
}

function readList(lines: readonly string[], at: number): Read | null {
  const first = MARKER.exec(lines[at]!);
  if (!first) return null;
  const kind = first[2]!.at(-1)!;
  const isOrdered = /[.)]/.test(kind);
  const items: ListItem[] = [];
  let isLoose = false;
  let next = at;
  while (next < lines.length) {
    const marker = MARKER.exec(lines[next]!);
    if (!marker || marker[2]!.at(-1) !== kind || isRule(lines[next]!)) break;
    const item = readItem(lines, next, marker, isOrdered);
    items.push(item.item);
    isLoose ||= item.hasGap &&
      (item.item.lines.some(isBlank) || item.next < lines.length && MARKER.test(lines[item.next]!));
    next = item.next;
  }
  if (items.length === 0) return null;
  return { block: { type: "list", start: isOrdered ? parseInt(first[2]!) : null, isLoose, items }, next };
}

function readItem(lines: readonly string[], at: number, marker: RegExpExecArray, isOrdered: boolean) {
  const spaces = marker[3]!.length;
  const width = marker[1]!.length + marker[2]!.length + (spaces === 0 || spaces > 4 ? 1 : spaces);
  const inner = [lines[at]!.slice(width)];
  let gap = 0;
  let hasGap = false;
  let next = at + 1;
  for (; next < lines.length; next++) {
    const line = lines[next]!;
    if (isBlank(line)) {
      gap++;
      continue;
    }
    const indent = indentOf(line);
    // People indent what is under "1." by two spaces as often as by three.
    const isInside = indent >= width || (isOrdered && indent >= 2 && /^ {2,}[-*+] /.test(line));
    const isContinued = gap === 0 && !isInside && !MARKER.test(line) && !startsBlock(lines, next);
    if (!isInside && !isContinued) break;
    if (gap > 0) hasGap = true;
    for (; gap > 0; gap--) inner.push("");
    inner.push(line.slice(Math.min(indent, width)));
  }
  if (gap > 0) hasGap = true;
  const task = /^\[([ xX])\] +/.exec(inner[0]!);
  if (task) inner[0] = inner[0]!.slice(task[0].length);
  return { item: { isDone: task ? task[1] !== " " : null, lines: inner }, hasGap, next };
}

function readTable(lines: readonly string[], at: number): Read | null {
  const below = lines[at + 1];
  if (below === undefined || !lines[at]!.includes("|") || !below.includes("-")) return null;
  const rules = cellsOf(below);
  if (!rules.every((cell) => /^:?-+:?$/.test(cell))) return null;
  const header = cellsOf(lines[at]!);
  if (header.length !== rules.length) return null;
  const align = rules.map((cell): Align =>
    cell.startsWith(":") ? (cell.endsWith(":") ? "center" : "left") : cell.endsWith(":") ? "right" : null
  );
  const rows: string[][] = [];
  let next = at + 2;
  for (; next < lines.length && lines[next]!.includes("|") && !isBlank(lines[next]!); next++) {
    const cells = cellsOf(lines[next]!);
    rows.push(header.map((_, column) => cells[column] ?? ""));
  }
  return { block: { type: "table", align, header, rows }, next };
}

/** Cells of a row; a bar after a backslash or in a code span belongs to its cell. */
function cellsOf(line: string): string[] {
  const cells: string[] = [];
  let cell = "";
  let isCode = false;
  for (let at = 0; at < line.length; at++) {
    const char = line[at]!;
    if (char === "\\" && line[at + 1] === "|") cell += line[++at];
    else if (char === "|" && !isCode) {
      cells.push(cell.trim());
      cell = "";
    } else {
      if (char === "`") isCode = !isCode;
      cell += char;
    }
  }
  cells.push(cell.trim());
  if (cells[0] === "") cells.shift();
  if (cells.at(-1) === "") cells.pop();
  return cells;
}

/** Whether a line ends the paragraph before it. */
function startsBlock(lines: readonly string[], at: number): boolean {
  const line = lines[at]!;
  const marker = MARKER.exec(line);
  // A number in the middle of a sentence is not a list.
  if (marker && marker[3] !== "" && (!/\d/.test(marker[2]!) || marker[2]!.slice(0, -1) === "1")) return true;
  return isRule(line) || /^ {0,3}(?:>|`{3}|~{3}|#{1,6}(?:[ \t]|$))/.test(line);
}

function readParagraph(lines: readonly string[], at: number): Read {
  let next = at + 1;
  for (; next < lines.length; next++) {
    const line = lines[next]!;
    const underline = /^ {0,3}(=+|-+)[ \t]*$/.exec(line);
    if (underline) {
      const text = lines.slice(at, next).map((one) => one.trim()).join("\n");
      return { block: { type: "heading", level: underline[1]!.startsWith("=") ? 1 : 2, text }, next: next + 1 };
    }
    if (isBlank(line) || startsBlock(lines, next)) break;
  }
  return {
    block: { type: "paragraph", text: lines.slice(at, next).map((line) => line.trimStart()).join("\n").trimEnd() },
    next,
  };
}
