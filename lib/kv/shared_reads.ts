/**
 * Reads that many ask for at once: who asks while one is under way shares the next with all others who did. Each gets what was
 * read after it asked, as if it had read itself, but a thousand that come together cost two reads, not a thousand.
 */
export class SharedReads<T> {
  readonly #read: (key: string) => Promise<T>;
  readonly #running = new Map<string, Promise<T>>();
  readonly #next = new Map<string, Promise<T>>();

  constructor(read: (key: string) => Promise<T>) {
    this.#read = read;
  }

  /** What a read of `key` that begins now or later gives. Do not change it: others have the same. Rejects with what it throws. */
  get(key: string): Promise<T> {
    const running = this.#running.get(key);
    if (running === undefined) return this.#start(key);
    let next = this.#next.get(key);
    if (next === undefined) {
      const begin = () => {
        this.#next.delete(key);
        return this.#start(key);
      };
      next = running.then(begin, begin);
      this.#next.set(key, next);
    }
    return next;
  }

  #start(key: string): Promise<T> {
    const read: Promise<T> = this.#read(key).finally(() => {
      if (this.#running.get(key) === read) this.#running.delete(key);
    });
    this.#running.set(key, read);
    return read;
  }
}
