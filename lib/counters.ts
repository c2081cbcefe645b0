/** What a hub counts, by name and by at most one label. Plain numbers: reading them costs nothing to the writers. */
import {
  type CounterName,
  type GaugeName,
  type HistogramName,
  type LabelOf,
  type MetricName,
  metricTable,
} from "./metrics_table.ts";

export interface Measurement {
  name: MetricName;
  label: string;
  value: number;
}

/** How often a time was at most each of `buckets` of histogramBounds, and beyond. */
export interface HistogramMeasurement {
  name: HistogramName;
  /** One more than histogramBounds has; not cumulative. */
  buckets: number[];
  sum: number;
}

/** Upper bounds of histograms, in seconds. */
export const histogramBounds: readonly number[] = [
  0.001,
  0.0025,
  0.005,
  0.01,
  0.025,
  0.05,
  0.1,
  0.25,
  0.5,
  1,
  2.5,
  5,
  10,
];

/** A number that its holder adds to; what is done once a message costs no look-up then. */
export interface Slot {
  value: number;
}

/** The counters of one hub. */
export class Counters {
  readonly #slots = new Map<string, Measurement>();
  readonly #histograms = new Map<HistogramName, HistogramMeasurement>();

  /** Adds to a counter. */
  add<N extends CounterName>(name: N, label: LabelOf<N>, by = 1): void {
    this.slot(name, label).value += by;
  }

  /** Moves a gauge up or down. */
  move<N extends GaugeName>(name: N, label: LabelOf<N>, by: number): void {
    this.slot(name, label).value += by;
  }

  /** Sets a gauge, or a counter that is kept elsewhere. */
  set<N extends CounterName | GaugeName>(name: N, label: LabelOf<N>, value: number): void {
    this.slot(name, label).value = value;
  }

  /** Adds a time to a histogram. */
  observe(name: HistogramName, ms: number): void {
    let histogram = this.#histograms.get(name);
    if (histogram === undefined) {
      histogram = { name, buckets: Array(histogramBounds.length + 1).fill(0), sum: 0 };
      this.#histograms.set(name, histogram);
    }
    const seconds = ms / 1_000;
    let at = 0;
    while (at < histogramBounds.length && seconds > histogramBounds[at]!) at++;
    histogram.buckets[at]! += 1;
    histogram.sum += seconds;
  }

  /** The number behind a counter or gauge, for whoever moves it often. */
  slot<N extends CounterName | GaugeName>(name: N, label: LabelOf<N>): Slot {
    const key = `${name} ${label}`;
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      slot = { name, label, value: 0 };
      this.#slots.set(key, slot);
    }
    return slot;
  }

  /** The present value; 0 for one that was never touched. */
  get(name: CounterName | GaugeName, label = ""): number {
    return this.#slots.get(`${name} ${label}`)?.value ?? 0;
  }

  /** All values, for a metrics page. Counters and gauges without a label are in it from the start, as 0. */
  snapshot(): { values: Measurement[]; histograms: HistogramMeasurement[] } {
    const values = [...this.#slots.values()].map((measurement) => ({ ...measurement }));
    for (const [name, metric] of Object.entries(metricTable)) {
      if (metric.kind === "histogram" || "label" in metric || this.#slots.has(`${name} `)) continue;
      values.push({ name: name as MetricName, label: "", value: 0 });
    }
    const histograms = [...this.#histograms.values()].map(({ name, buckets, sum }) => ({
      name,
      buckets: [...buckets],
      sum,
    }));
    return { values, histograms };
  }
}
