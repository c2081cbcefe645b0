/** A module that is fetched when something first needs it, as a signal that components can wait for. */
import { type ReadonlySignal, signal } from "@preact/signals";

export class LazyModule<T> {
  readonly #load: () => Promise<T>;
  readonly #module = signal<T | null>(null);
  readonly #hasFailed = signal(false);
  #isAsked = false;

  constructor(load: () => Promise<T>) {
    this.#load = load;
  }

  /** Whether the last fetch failed: the network went, or the hub was updated under this page. */
  get hasFailed(): ReadonlySignal<boolean> {
    return this.#hasFailed;
  }

  /** The module, or null while it is on its way. */
  get module(): ReadonlySignal<T | null> {
    if (!this.#isAsked) {
      this.#isAsked = true;
      this.#load().then((loaded) => this.#module.value = loaded, () => this.#hasFailed.value = true);
    }
    return this.#module;
  }
}
