/** A strict reader of Prometheus' text format 0.0.4: what it does not throw at, Prometheus takes. */

export interface Sample {
  name: string;
  labels: Readonly<Record<string, string>>;
  value: number;
}

export interface Family {
  name: string;
  type: string;
  help: string;
  samples: Sample[];
}

const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`);
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,|$)/y;
/** What a family's samples may be called beside its own name. */
const suffixes: Readonly<Record<string, readonly string[]>> = {
  counter: [""],
  gauge: [""],
  histogram: ["_bucket", "_sum", "_count"],
};

/** Parses a page. Throws an Error that quotes the line for everything that is not as the format wants it. */
export function parseMetrics(text: string): Map<string, Family> {
  if (!text.endsWith("\n")) throw new Error("the page does not end with a line break");
  const families = new Map<string, Family>();
  const seen = new Set<string>();
  let current: Family | null = null;
  for (const line of text.slice(0, -1).split("\n")) {
    const meta = new RegExp(`^# (HELP|TYPE) (${NAME}) (.+)$`).exec(line);
    if (meta !== null) {
      const [, what, name = "", rest = ""] = meta;
      if (what === "HELP") {
        if (families.has(name)) throw new Error(`a second family "${name}": ${line}`);
        current = { name, type: "", help: rest, samples: [] };
        families.set(name, current);
      } else {
        if (current?.name !== name || current.type !== "") throw new Error(`a TYPE out of place: ${line}`);
        if (suffixes[rest] === undefined) throw new Error(`an unknown type: ${line}`);
        if (rest === "counter" && !name.endsWith("_total")) throw new Error(`a counter without _total: ${line}`);
        current.type = rest;
      }
      continue;
    }
    const sample = SAMPLE.exec(line);
    if (sample === null) throw new Error(`not a sample: ${line}`);
    const [, name = "", labelText = "", valueText = ""] = sample;
    const own = current !== null && suffixes[current.type]?.some((suffix) => name === current!.name + suffix);
    if (current === null || !own) throw new Error(`a sample outside its family: ${line}`);
    const labels = parseLabels(labelText, line);
    const value = valueText === "+Inf" ? Infinity : Number(valueText);
    if (Number.isNaN(value)) throw new Error(`not a number: ${line}`);
    const key = `${name} ${JSON.stringify(Object.entries(labels).sort())}`;
    if (seen.has(key)) throw new Error(`a second sample of one series: ${line}`);
    seen.add(key);
    current.samples.push({ name, labels, value });
  }
  for (const family of families.values()) {
    if (family.type === "" || family.samples.length === 0) throw new Error(`an empty family: ${family.name}`);
    if (family.type === "histogram") checkHistogram(family);
  }
  return families;
}

function parseLabels(text: string, line: string): Record<string, string> {
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  let at = 0;
  while (at < text.length) {
    const match = LABEL.exec(text);
    if (match === null) throw new Error(`labels that cannot be read: ${line}`);
    const [, name = "", value = ""] = match;
    if (name in labels) throw new Error(`the label ${name} twice: ${line}`);
    labels[name] = value.replaceAll(/\\(.)/g, (_, char) => char === "n" ? "\n" : char);
    at = LABEL.lastIndex;
  }
  return labels;
}

/** Buckets ascend, end with +Inf, and the last equals the count. */
function checkHistogram({ name, samples }: Family): void {
  const groups = Map.groupBy(samples, ({ labels: { le: _, ...rest } }) => JSON.stringify(rest));
  for (const group of groups.values()) {
    const buckets = group.filter((sample) => sample.name === `${name}_bucket`);
    const bounds = buckets.map(({ labels }) => labels.le === "+Inf" ? Infinity : Number(labels.le));
    const isAscending = buckets.every(({ value }, at) =>
      at === 0 || (value >= buckets[at - 1]!.value && bounds[at]! > bounds[at - 1]!)
    );
    const count = group.find((sample) => sample.name === `${name}_count`)?.value;
    if (!isAscending || bounds.at(-1) !== Infinity || buckets.at(-1)?.value !== count) {
      throw new Error(`the histogram ${name} is not one`);
    }
  }
}

/** The sum of a metric over all series whose labels are as given. */
export function total(families: Map<string, Family>, name: string, labels: Record<string, string> = {}): number {
  const family = families.get(name);
  if (family === undefined) throw new Error(`there is no metric ${name}`);
  return family.samples
    .filter((sample) =>
      sample.name === name && Object.entries(labels).every(([key, text]) => sample.labels[key] === text)
    )
    .reduce((sum, { value }) => sum + value, 0);
}
