/** What a hub counts, by name and by at most one label. Plain numbers: reading them costs nothing to the writers. */

/** Names of counters that only grow, and what their label holds. */
export interface CounterLabels {
  /** Sockets opened, by namespace. */
  connections_opened: string;
  /** Upgrades refused, by reason. */
  upgrades_refused: string;
  /** Frames or messages answered with a typed error, by its code. */
  frames_refused: string;
  /** Messages of a type that this hub does not know, by namespace. */
  unknown_types: string;
  /** Sockets that were closed because they had been silent for too long, by namespace. */
  sockets_silent: string;
  records_received: "";
  records_duplicate: "";
  records_committed: "";
  commits_failed: "";
  deltas_received: "";
  /** Messages handed to viewers' sockets. */
  deliveries: "";
  /** Viewers cut down to fresh state because their socket did not drain. */
  viewers_slow: "";
  /** Re-attachments of viewers after messages between isolates were lost. */
  viewers_reattached: "";
  commands_accepted: "";
  /** Receipts, by status. */
  commands_settled: string;
}
export type CounterName = keyof CounterLabels;

/** Names of values that go up and down, and what their label holds. */
export interface GaugeLabels {
  /** Open sockets, by namespace. */
  connections: string;
  /** Sessions whose host is connected here. */
  live_sessions: "";
  /** Records held in memory until they are committed. */
  uncommitted_records: "";
}
export type GaugeName = keyof GaugeLabels;

export interface Measurement {
  name: CounterName | GaugeName;
  kind: "counter" | "gauge";
  label: string;
  value: number;
}

/** The counters of one hub. */
export class Counters {
  readonly #counters = new Map<string, Measurement>();

  /** Adds to a counter. */
  add<N extends CounterName>(name: N, label: CounterLabels[N], by = 1): void {
    this.#slot("counter", name, label).value += by;
  }

  /** Moves a gauge up or down. */
  move<N extends GaugeName>(name: N, label: GaugeLabels[N], by: number): void {
    this.#slot("gauge", name, label).value += by;
  }

  /** The present value; 0 for one that was never touched. */
  get(name: CounterName | GaugeName, label = ""): number {
    return this.#counters.get(`${name} ${label}`)?.value ?? 0;
  }

  /** All values, for a metrics page. */
  snapshot(): Measurement[] {
    return [...this.#counters.values()].map((measurement) => ({ ...measurement }));
  }

  #slot(kind: Measurement["kind"], name: CounterName | GaugeName, label: string): Measurement {
    const key = `${name} ${label}`;
    let slot = this.#counters.get(key);
    if (slot === undefined) {
      slot = { name, kind, label, value: 0 };
      this.#counters.set(key, slot);
    }
    return slot;
  }
}
