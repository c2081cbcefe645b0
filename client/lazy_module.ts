/** A module that is fetched when something first needs it, as a signal that components can wait for. */
import { type ReadonlySignal, signal } from "@preact/signals";

export class LazyModule<T> {
  readonly #load: () => Promise<T>;
  readonly #module = signal<T | null>(null);
  #isAsked = false;

  constructor(load: () => Promise<T>) {
    this.#load = load;
  }

  /** The module, or null while it is on its way. A failed fetch is tried again the next time that it is needed. */
  get module(): ReadonlySignal<T | null> {
    if (!this.#isAsked) {
      this.#isAsked = true;
      this.#load().then((loaded) => this.#module.value = loaded, () => this.#isAsked = false);
    }
    return this.#module;
  }
}
