/** Things that come and go often: streams, requests under way. */

/**
 * Like a Map with numbers as keys, in their order, but what was deleted is garbage at once. V8 links each outgrown table of a Map
 * or Set to the one that replaced it, and each holds what was in it: of streams that came and went, half stayed until the next full
 * collection.
 */
export class ChurnTable<Value> {
  readonly #values: Record<number, Value> = Object.create(null);
  #size = 0;
  #lastKey = 0;

  get size(): number {
    return this.#size;
  }

  get(key: number): Value | undefined {
    return this.#values[key];
  }

  has(key: number): boolean {
    return this.#values[key] !== undefined;
  }

  set(key: number, value: Value): void {
    if (!this.has(key)) this.#size++;
    this.#values[key] = value;
  }

  /** Puts a value under the next key, which it returns. For tables whose keys are not set otherwise. */
  add(value: Value): number {
    this.set(++this.#lastKey, value);
    return this.#lastKey;
  }

  /** The result says whether it was there. */
  delete(key: number): boolean {
    if (!this.has(key)) return false;
    this.#size--;
    return delete this.#values[key];
  }

  values(): Value[] {
    return Object.values(this.#values);
  }
}
