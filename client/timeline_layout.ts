/**
 * Where the entries of a long timeline lie, and which of them need to be on the page. Pure. Entries are named by
 * their index in the session, which never changes, so that pages added in front move nothing.
 *
 * The reader's place is an anchor: an entry and how far the top of the window is below that entry's top. After any
 * change of sizes the window is put back to the anchor, so that nothing jumps while someone reads.
 */
export interface Anchor {
  index: number;
  /** Pixels from the top of the entry to the top of the window; may be negative. */
  offset: number;
}

export class TimelineLayout {
  #sizes = new Map<number, number>();
  #first = 0;
  #count = 0;
  #estimate: (index: number) => number;
  /** Tops of the entries, one more than there are entries; valid up to `#validTo`. */
  #tops = new Float64Array(1);
  #validTo = 0;

  /** @param estimate height in pixels of an entry that was never measured */
  constructor(estimate: (index: number) => number) {
    this.#estimate = estimate;
  }

  /** Which entries there are. */
  setRange(first: number, count: number): void {
    if (first === this.#first && count === this.#count) return;
    if (first !== this.#first) this.#validTo = 0;
    this.#first = first;
    this.#count = count;
    this.#validTo = Math.min(this.#validTo, count);
    if (this.#tops.length < count + 1) {
      const grown = new Float64Array(Math.max(count + 1, this.#tops.length * 2));
      grown.set(this.#tops.subarray(0, this.#validTo + 1));
      this.#tops = grown;
    }
  }

  /** Forgets all measurements: another width, or another session. */
  reset(): void {
    this.#sizes.clear();
    this.#validTo = 0;
  }

  /** Notes a measured height. Answers whether it differs from what was assumed. */
  measured(index: number, height: number): boolean {
    const assumed = this.#sizes.get(index) ?? this.#estimate(index);
    this.#sizes.set(index, height);
    if (Math.abs(assumed - height) < 0.5) return false;
    this.#validTo = Math.min(this.#validTo, Math.max(0, index - this.#first));
    return true;
  }

  get totalHeight(): number {
    return this.topOf(this.#first + this.#count);
  }

  /** Top of an entry; indexes outside the range are pulled into it. */
  topOf(index: number): number {
    const position = Math.min(Math.max(index - this.#first, 0), this.#count);
    for (; this.#validTo < position; this.#validTo++) {
      const at = this.#first + this.#validTo;
      this.#tops[this.#validTo + 1] = this.#tops[this.#validTo]! + (this.#sizes.get(at) ?? this.#estimate(at));
    }
    return this.#tops[position]!;
  }

  /** The entry that covers a vertical position, pulled into the range. Undefined when there are no entries. */
  indexAt(y: number): number | undefined {
    if (this.#count === 0) return undefined;
    this.topOf(this.#first + this.#count);
    let low = 0;
    let high = this.#count - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#tops[middle]! <= y) low = middle;
      else high = middle - 1;
    }
    return this.#first + low;
  }

  /** First and last index that must be on the page for a window at `top`, with a margin of pixels around it. */
  visible(top: number, height: number, margin: number): { first: number; last: number } | undefined {
    const first = this.indexAt(top - margin);
    const last = this.indexAt(top + height + margin);
    return first === undefined || last === undefined ? undefined : { first, last };
  }

  /** What the reader of a window at `top` is looking at. */
  anchorAt(top: number): Anchor | undefined {
    const index = this.indexAt(top);
    return index === undefined ? undefined : { index, offset: top - this.topOf(index) };
  }

  /** Where the window must be so that the anchor is where it was. */
  topFor(anchor: Anchor): number {
    return Math.max(0, this.topOf(anchor.index) + anchor.offset);
  }
}
