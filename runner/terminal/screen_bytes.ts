/**
 * A terminal's screen, scrollback and modes as bytes that rebuild them in an empty terminal of the same size. It writes bytes, cell by
 * cell: 10,000 lines make a megabyte of output, and no string of it (a string that is built character by character takes 30 times
 * its size).
 */
import type { IBuffer, IBufferCell, IBufferLine, Terminal } from "@xterm/headless";

/** What the emulator knows of its terminal beyond xterm's interface. */
export interface ScreenExtras {
  /** Scrolling margins, from 1; null: the whole screen. */
  margins: { top: number; bottom: number } | null;
  isCursorShown: boolean;
  /** DECSCUSR; 0: the default. */
  cursorStyle: number;
  /** The private mode of how the mouse is reported; null: the default. */
  mouseEncoding: number | null;
}

/** Bytes that a screen begins with; it grows by doubling. */
const FIRST_BYTES = 64 * 1024;
const ESC = "\x1b";
const CSI = "\x1b[";
/** Of colours, in IBufferCell: one of the first sixteen, which "bold" may brighten. */
const MODE_P16 = 1 << 24;
const mouseModes: Readonly<Record<string, number>> = { x10: 9, vt200: 1000, drag: 1002, any: 1003 };

/** What SGR sets, of a cell or of what is typed next. */
type Style = Pick<
  IBufferCell,
  | "getFgColorMode"
  | "getFgColor"
  | "isFgDefault"
  | "isFgRGB"
  | "getBgColorMode"
  | "getBgColor"
  | "isBgDefault"
  | "isBgRGB"
  | "isAttributeDefault"
  | "isBold"
  | "isDim"
  | "isItalic"
  | "isUnderline"
  | "isBlink"
  | "isInverse"
  | "isInvisible"
  | "isStrikethrough"
  | "isOverline"
>;

/** Makes the bytes. The terminal must have parsed everything. */
export function screenBytes(terminal: Terminal, extras: ScreenExtras): Uint8Array {
  const out = new ByteWriter();
  const writer = new BufferWriter(out, terminal);
  const { active, normal } = terminal.buffer;
  writer.writeBuffer(normal);
  if (active.type === "alternate") {
    // Where the cursor stands is saved with the switch.
    writer.placeCursor(normal, 0);
    writer.setStyle("");
    out.text(`${CSI}?1049h${CSI}H`);
    writer.writeBuffer(active);
  }
  const { modes } = terminal;
  writer.setStyle("");
  const { top, bottom } = extras.margins ?? { top: 1, bottom: terminal.rows };
  if (extras.margins !== null) out.text(`${CSI}${top};${bottom}r`);
  // Both move the cursor; from here on its place counts from the margins.
  if (modes.originMode) out.text(`${CSI}?6h`);
  writer.placeCursor(active, modes.originMode ? top - 1 : 0);
  if (modes.applicationCursorKeysMode) out.text(`${CSI}?1h`);
  if (modes.applicationKeypadMode) out.text(`${ESC}=`);
  if (modes.bracketedPasteMode) out.text(`${CSI}?2004h`);
  if (modes.insertMode) out.text(`${CSI}4h`);
  if (modes.reverseWraparoundMode) out.text(`${CSI}?45h`);
  if (modes.sendFocusMode) out.text(`${CSI}?1004h`);
  if (!modes.wraparoundMode) out.text(`${CSI}?7l`);
  const mouseMode = mouseModes[modes.mouseTrackingMode];
  if (mouseMode !== undefined) out.text(`${CSI}?${mouseMode}h`);
  if (extras.mouseEncoding !== null) out.text(`${CSI}?${extras.mouseEncoding}h`);
  if (extras.cursorStyle !== 0) out.text(`${CSI}${extras.cursorStyle} q`);
  if (!extras.isCursorShown) out.text(`${CSI}?25l`);
  const style = typingStyle(terminal);
  if (style !== null) writer.setStyle(sgrOf(style));
  return out.bytes();
}

/** What the next text would look like. xterm has no interface for it, its own serialiser looks at the same place. */
function typingStyle(terminal: Terminal): Style | null {
  type Inside = { _core?: { _inputHandler?: { _curAttrData?: Style } } };
  return (terminal as Inside)._core?._inputHandler?._curAttrData ?? null;
}

class BufferWriter {
  readonly #out: ByteWriter;
  readonly #terminal: Terminal;
  readonly #cell: IBufferCell;
  /** SGR parameters that hold now; "": the default. */
  #style = "";

  constructor(out: ByteWriter, terminal: Terminal) {
    this.#out = out;
    this.#terminal = terminal;
    this.#cell = terminal.buffer.active.getNullCell();
  }

  setStyle(style: string): void {
    if (style === this.#style) return;
    this.#style = style;
    this.#out.text(`${CSI}${style === "" ? "" : `0;${style}`}m`);
  }

  /** All lines of a buffer, from where the cursor is now: the top left of an empty one. */
  writeBuffer(buffer: IBuffer): void {
    // Without scrollback, blank lines at the end are there already.
    const count = buffer.length > this.#terminal.rows ? buffer.length : this.#usedLines(buffer);
    let isWrapped = false;
    for (let y = 0; y < count; y++) {
      const line = buffer.getLine(y)!;
      const next = y + 1 < count ? buffer.getLine(y + 1)! : null;
      this.#writeLine(line, isWrapped);
      isWrapped = next !== null && this.#wraps(line, next);
      if (next === null || isWrapped) continue;
      // A line that comes up at the bottom has the background of what is typed then.
      this.setStyle("");
      this.#out.text("\r\n");
    }
  }

  /** Puts the cursor where it stands, which may be behind the last column: there the next character wraps. */
  placeCursor(buffer: IBuffer, firstRow: number): void {
    const { cursorX, cursorY, baseY } = buffer;
    const { cols } = this.#terminal;
    if (cursorX < cols) return this.#out.text(cursorTo(cursorX, cursorY - firstRow));
    const line = buffer.getLine(baseY + cursorY);
    const last = line?.getCell(cols - 1, this.#cell);
    const at = last?.getWidth() === 0 ? cols - 2 : cols - 1;
    const cell = line?.getCell(at, this.#cell);
    this.#out.text(cursorTo(at, cursorY - firstRow));
    // Only a character brings it there: the one that is there, or a blank.
    this.setStyle(cell === undefined ? "" : sgrOf(cell));
    this.#out.text(cell?.getChars() || " ");
  }

  #usedLines(buffer: IBuffer): number {
    let count = buffer.length;
    while (count > 0 && this.#isBlank(buffer.getLine(count - 1)!)) count--;
    return count;
  }

  #isBlank(line: IBufferLine): boolean {
    for (let x = 0; x < line.length; x++) {
      const cell = line.getCell(x, this.#cell)!;
      if (cell.getCode() !== 0 || !cell.isBgDefault()) return false;
    }
    return true;
  }

  /** Whether writing on at the end of the line leads into the next one, as it once did. */
  #wraps(line: IBufferLine, next: IBufferLine): boolean {
    if (!next.isWrapped) return false;
    const first = next.getCell(0, this.#cell)!;
    // Only a character wraps; where one was erased the line ends instead.
    if (first.getCode() === 0) return false;
    const isWide = first.getWidth() === 2;
    const last = line.getCell(line.length - 1, this.#cell)!;
    if (isFilled(last)) return true;
    // A wide character did not fit into the last column.
    return isWide && last.isBgDefault() && isFilled(line.getCell(line.length - 2, this.#cell)!);
  }

  /** @param isWrapped whether the cursor is still behind the end of the line before */
  #writeLine(line: IBufferLine, isWrapped: boolean): void {
    const out = this.#out;
    let nulls = 0;
    let nullStyle = "";
    for (let x = 0; x < line.length; x++) {
      // Half of a wide character, which drawing over it leaves, counts as nothing.
      const isHalved = line.getCell(x, this.#cell)!.getWidth() === 2 &&
        line.getCell(x + 1, this.#cell)?.getWidth() !== 0;
      const cell = line.getCell(x, this.#cell)!;
      const code = isHalved ? 0 : cell.getCode();
      const style = cell.isAttributeDefault() ? "" : code === 0 ? backgroundOf(cell) : sgrOf(cell);
      if (code === 0) {
        if (nulls > 0 && style !== nullStyle) {
          this.#writeNulls(nulls, nullStyle, true);
          nulls = 0;
        }
        nullStyle = style;
        nulls++;
        continue;
      }
      if (nulls > 0) this.#writeNulls(nulls, nullStyle, true);
      nulls = 0;
      // The line that this character wraps into must not get its background.
      if (x === 0 && isWrapped && !cell.isBgDefault()) {
        this.setStyle("");
        out.text(` \r`);
      }
      this.setStyle(style);
      if (code < 0x80) out.byte(code);
      else {
        out.text(cell.getChars());
        if (cell.getWidth() === 2) x++;
      }
    }
    if (nulls > 0 && nullStyle !== "") this.#writeNulls(nulls, nullStyle, false);
  }

  /** Cells that nothing was written to; erasing may have given them a background. */
  #writeNulls(count: number, style: string, isFollowed: boolean): void {
    if (style !== "") {
      this.setStyle(style);
      this.#out.text(`${CSI}${count}X`);
    }
    if (isFollowed) this.#out.text(`${CSI}${count}C`);
  }
}

/** Whether something was written there; the second half of a wide character counts. */
function isFilled(cell: IBufferCell): boolean {
  return cell.getCode() !== 0 || cell.getWidth() === 0;
}

/** The cursor's place, from 0. */
function cursorTo(x: number, y: number): string {
  return `${CSI}${y + 1};${x + 1}H`;
}

/** SGR parameters of a style, from the default; "": it is the default. */
function sgrOf(style: Style): string {
  if (style.isAttributeDefault()) return "";
  const parts: (number | string)[] = [];
  if (style.isBold()) parts.push(1);
  if (style.isDim()) parts.push(2);
  if (style.isItalic()) parts.push(3);
  if (style.isUnderline()) parts.push(4);
  if (style.isBlink()) parts.push(5);
  if (style.isInverse()) parts.push(7);
  if (style.isInvisible()) parts.push(8);
  if (style.isStrikethrough()) parts.push(9);
  if (style.isOverline()) parts.push(53);
  if (!style.isFgDefault()) parts.push(colorOf(style.isFgRGB(), style.getFgColorMode(), style.getFgColor(), 30));
  const background = backgroundOf(style);
  if (background !== "") parts.push(background);
  return parts.join(";");
}

function backgroundOf(style: Style): string {
  return style.isBgDefault() ? "" : colorOf(style.isBgRGB(), style.getBgColorMode(), style.getBgColor(), 40);
}

function colorOf(isRgb: boolean, mode: number, color: number, base: 30 | 40): string {
  if (isRgb) return `${base + 8};2;${color >>> 16 & 0xff};${color >>> 8 & 0xff};${color & 0xff}`;
  if (mode !== MODE_P16) return `${base + 8};5;${color}`;
  return String(color < 8 ? base + color : base + 60 + color - 8);
}

/** Bytes that grow. */
class ByteWriter {
  #bytes = new Uint8Array(FIRST_BYTES);
  #length = 0;
  readonly #encoder = new TextEncoder();

  byte(byte: number): void {
    if (this.#length === this.#bytes.length) this.#grow(1);
    this.#bytes[this.#length++] = byte;
  }

  text(text: string): void {
    // At most three bytes a UTF-16 unit.
    if (this.#length + text.length * 3 > this.#bytes.length) this.#grow(text.length * 3);
    this.#length += this.#encoder.encodeInto(text, this.#bytes.subarray(this.#length)).written;
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #grow(byteLength: number): void {
    const size = Math.max(this.#bytes.length * 2, this.#length + byteLength);
    this.#bytes = new Uint8Array(this.#bytes.buffer.transfer(size));
  }
}
