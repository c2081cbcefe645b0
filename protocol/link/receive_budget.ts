/**
 * How much the streams of one link may make its receiver keep. What a stream may still be sent (its credit) and what came and was
 * not read yet are both bytes that memory must be there for.
 *
 * Each stream may always hold `firstBytes`: so none starves, however many there are and however slow the others' readers. What
 * it holds beyond that comes out of `sharedBytes`, which all streams of the link share. Its window grows while its reader keeps up,
 * to `windowBytes` at most, and to its fair part of what is shared. Pure.
 */

export interface BudgetOptions {
  firstBytes: number;
  windowBytes: number;
  sharedBytes: number;
}

export class ReceiveBudget {
  readonly firstBytes: number;
  readonly windowBytes: number;
  readonly sharedBytes: number;
  /** Allowances that are not over. */
  streams = 0;
  /** What all streams hold beyond their first bytes; never more than sharedBytes. */
  usedBytes = 0;
  /** Grants that were smaller than their stream's window because nothing shared was left. */
  squeezedGrants = 0;

  constructor({ firstBytes, windowBytes, sharedBytes }: BudgetOptions) {
    this.firstBytes = Math.min(firstBytes, windowBytes);
    this.windowBytes = windowBytes;
    this.sharedBytes = sharedBytes;
  }

  /** The largest window that a stream may have now. */
  get fairBytes(): number {
    const part = Math.floor(this.sharedBytes / Math.max(this.streams, 1));
    return Math.max(this.firstBytes, Math.min(this.windowBytes, part));
  }
}

/** What one stream may hold of its link's budget. The other end begins with `firstBytes` of credit, without a word. */
export class Allowance {
  readonly #budget: ReceiveBudget;
  #windowBytes: number;
  #creditBytes: number;
  #unreadBytes = 0;
  /** Read since the last grant. */
  #takenBytes = 0;
  #isOver = false;

  constructor(budget: ReceiveBudget) {
    this.#budget = budget;
    this.#windowBytes = budget.firstBytes;
    this.#creditBytes = budget.firstBytes;
    budget.streams++;
  }

  /** Bytes that the other end may still send. */
  get creditBytes(): number {
    return this.#creditBytes;
  }

  /** Bytes have come. The result is false, and nothing changes, when they are more than was granted. */
  received(bytes: number): boolean {
    if (bytes > this.#creditBytes) return false;
    this.#creditBytes -= bytes;
    this.#unreadBytes += bytes;
    return true;
  }

  /** Bytes were read. The result says whether a grant may be due. */
  taken(bytes: number): boolean {
    this.#hold(this.#creditBytes, this.#unreadBytes - bytes);
    this.#takenBytes += bytes;
    return !this.#isOver && this.#isDue();
  }

  /** The credit to grant now, which counts as granted; 0 when none is, or too little to say so. */
  grant(): number {
    if (this.#isOver || !this.#isDue()) return 0;
    const budget = this.#budget;
    const heldBytes = this.#creditBytes + this.#unreadBytes;
    const windowBytes = Math.min(2 * this.#windowBytes, budget.fairBytes);
    const wantedBytes = windowBytes - heldBytes;
    const leftBytes = Math.max(0, budget.firstBytes - heldBytes) + budget.sharedBytes - budget.usedBytes;
    const bytes = Math.min(wantedBytes, leftBytes);
    if (bytes < Math.ceil(budget.firstBytes / 4)) return 0;
    if (bytes < wantedBytes) budget.squeezedGrants++;
    else this.#windowBytes = windowBytes;
    this.#takenBytes = 0;
    this.#hold(this.#creditBytes + bytes, this.#unreadBytes);
    return bytes;
  }

  /** Nothing more will come: what came is held until it is read. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#budget.streams--;
    this.#hold(0, this.#unreadBytes);
  }

  /** Nothing more will come, and nothing more is read. */
  drop(): void {
    this.end();
    this.#hold(0, 0);
  }

  /** A quarter of the window was read, or what was granted is about to run out. */
  #isDue(): boolean {
    return this.#takenBytes >= this.#windowBytes / 4 || this.#creditBytes <= this.#budget.firstBytes / 2;
  }

  #hold(creditBytes: number, unreadBytes: number): void {
    const { firstBytes } = this.#budget;
    const before = Math.max(0, this.#creditBytes + this.#unreadBytes - firstBytes);
    this.#budget.usedBytes += Math.max(0, creditBytes + unreadBytes - firstBytes) - before;
    this.#creditBytes = creditBytes;
    this.#unreadBytes = unreadBytes;
  }
}
