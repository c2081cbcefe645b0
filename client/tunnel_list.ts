/** The tunnels of a session or runner, as a signal that is read again when the hub says that tunnels changed. */
import { signal } from "@preact/signals";
import type { TunnelInfo } from "@/protocol/tunnel.ts";
import { errorText } from "./api.ts";
import { type TunnelFilter, tunnelsOf } from "./tunnels.ts";

export class TunnelList {
  /** Null until the hub has answered. */
  readonly items = signal<readonly TunnelInfo[] | null>(null);
  readonly problem = signal<string | null>(null);
  readonly #filter: TunnelFilter;
  #asked = 0;

  constructor(filter: TunnelFilter) {
    this.#filter = filter;
  }

  /** Reads the list. Of several readings the one that was asked for last counts. */
  async refresh(): Promise<void> {
    const asked = ++this.#asked;
    try {
      const items = await tunnelsOf(this.#filter);
      if (asked !== this.#asked) return;
      this.items.value = items;
      this.problem.value = null;
    } catch (error) {
      if (asked === this.#asked) this.problem.value = errorText(error);
    }
  }
}
