/** The open streams of a link, by id. */

/**
 * Like a Map, but what was deleted is garbage at once. V8 links each outgrown table of a Map to the one that replaced it, and
 * each holds what was in it: with streams that come and go, half of all that were ever open stayed until the next full collection.
 */
export class StreamTable<Stream> {
  readonly #streams: Record<number, Stream> = Object.create(null);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(id: number): Stream | undefined {
    return this.#streams[id];
  }

  has(id: number): boolean {
    return this.#streams[id] !== undefined;
  }

  set(id: number, stream: Stream): void {
    if (!this.has(id)) this.#size++;
    this.#streams[id] = stream;
  }

  delete(id: number): void {
    if (!this.has(id)) return;
    this.#size--;
    delete this.#streams[id];
  }

  values(): Stream[] {
    return Object.values(this.#streams);
  }
}
