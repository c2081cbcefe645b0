/** What a bench or size run prints as its last line: one JSON object. Names, once given, stay. */

export interface Result {
  name: string;
  value: number;
  unit: string;
  /** The same measure of the thing compared with, in the same run. */
  baseline?: number;
  /** value / baseline. */
  ratio?: number;
}

/** Why a bench cannot run here: a sentence for whoever started it. */
export class BenchError extends Error {
  override name = "BenchError";
}

/** Prints the report on one line of stdout. */
export function printReport(bench: string, results: readonly Result[]): void {
  console.log(JSON.stringify({ bench, results }));
}

/** A result with its comparison. */
export function compared(name: string, unit: string, value: number, baseline: number): Result {
  return { ...result(name, unit, value), baseline: rounded(baseline), ratio: rounded(value / baseline) };
}

export function result(name: string, unit: string, value: number): Result {
  return { name, value: rounded(value), unit };
}

/** Four significant digits, whole above 1,000: more would claim more than a run can know. */
export function rounded(value: number): number {
  return Math.abs(value) >= 1_000 ? Math.round(value) : Number(value.toPrecision(4));
}

/** The middle value; the mean of the two middle ones of an even count. Throws a RangeError for none. */
export function median(values: ArrayLike<number>): number {
  return percentile(values, 0.5);
}

/** The value below which the share `p` of the values lie, interpolated between neighbours. Throws a RangeError for none. */
export function percentile(values: ArrayLike<number>, p: number): number {
  if (values.length === 0) throw new RangeError("there is no percentile of no values");
  const sorted = Float64Array.from(values).sort();
  const at = (sorted.length - 1) * p;
  const low = sorted[Math.floor(at)]!;
  return low + (sorted[Math.ceil(at)]! - low) * (at - Math.floor(at));
}
