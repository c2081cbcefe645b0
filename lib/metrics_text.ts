/** Prometheus' text exposition format (version 0.0.4) of what isolates measured. Pure. */
import { histogramBounds, type HistogramMeasurement, type Measurement } from "./counters.ts";
import { type Metric, type MetricName, metricTable } from "./metrics_table.ts";

export const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** What one isolate tells. */
export interface IsolateMetrics {
  isolate: string;
  /** The process that it runs in. */
  process: string;
  values: Measurement[];
  histograms: HistogramMeasurement[];
}

/** The page for these isolates, and for those that did not answer. */
export function renderMetrics(isolates: readonly IsolateMetrics[], silent: readonly string[]): string {
  const lines = [
    "# HELP perch_isolate_up Whether the isolate told its numbers in time",
    "# TYPE perch_isolate_up gauge",
    ...isolates.map(({ isolate }) => sample("perch_isolate_up", { isolate }, 1)),
    ...silent.map((isolate) => sample("perch_isolate_up", { isolate }, 0)),
  ];
  for (const [name, metric] of Object.entries(metricTable) as [MetricName, Metric][]) {
    const full = `perch_${name}${{ counter: "_total", gauge: "", histogram: "_seconds" }[metric.kind]}`;
    const samples = metric.kind === "histogram"
      ? isolates.flatMap((of) => histogramSamples(full, of, name))
      : valueSamples(full, metric, name, isolates);
    if (samples.length === 0) continue;
    lines.push(`# HELP ${full} ${metric.help}`, `# TYPE ${full} ${metric.kind}`, ...samples);
  }
  return `${lines.join("\n")}\n`;
}

function valueSamples(full: string, metric: Metric, name: MetricName, isolates: readonly IsolateMetrics[]): string[] {
  const samples: string[] = [];
  const processes = new Set<string>();
  for (const { isolate, process, values } of isolates) {
    if (metric.isOfProcess && processes.has(process)) continue;
    processes.add(process);
    const whose: Record<string, string> = metric.isOfProcess ? { process } : { isolate };
    for (const { name: measured, label, value } of values) {
      if (measured !== name) continue;
      samples.push(sample(full, metric.label === undefined ? whose : { ...whose, [metric.label]: label }, value));
    }
  }
  return samples;
}

function histogramSamples(full: string, { isolate, histograms }: IsolateMetrics, name: MetricName): string[] {
  const histogram = histograms.find((one) => one.name === name);
  if (histogram === undefined) return [];
  let count = 0;
  const buckets = histogram.buckets.map((inBucket, at) => {
    count += inBucket;
    return sample(`${full}_bucket`, { isolate, le: String(histogramBounds[at] ?? "+Inf") }, count);
  });
  return [...buckets, sample(`${full}_sum`, { isolate }, histogram.sum), sample(`${full}_count`, { isolate }, count)];
}

function sample(name: string, labels: Readonly<Record<string, string>>, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`);
  return `${name}{${pairs.join(",")}} ${value}`;
}

function escapeLabel(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
