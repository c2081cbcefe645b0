/** Amounts and rates of bytes as people write and read them. Pure: the CLI and the browser use it. */

const powers = ["", "k", "M", "G", "T", "P"] as const;

/**
 * Bytes a second of "500 kB/s", "2MB", "1.5 MiB/s" or "800000": k, M and G are thousands, Ki, Mi and Gi are of 1,024, the rest may
 * be left out. Null: it is no rate, or of bits.
 */
export function parseByteRate(text: string): number | null {
  const match = /^(\d{1,15}(?:[.,]\d{1,9})?)\s*(?:([kmg])(i?))?\s*(b?)\s*(?:\/\s*s(?:ec(?:ond)?)?|ps)?$/i.exec(
    text.trim(),
  );
  if (match === null) return null;
  const [, amount = "", power = "", binary = "", unit = ""] = match;
  // "Mb" is what people write for megabits.
  if (power !== "" && unit === "b" && power !== power.toLowerCase()) return null;
  const base = binary === "" ? 1_000 : 1_024;
  return Math.round(Number(amount.replace(",", ".")) * base ** ["", "k", "m", "g"].indexOf(power.toLowerCase()));
}

/** "2 MB/s" */
export function formatByteRate(bytesPerS: number): string {
  return `${formatBytes(bytesPerS)}/s`;
}

/** "0 B", "940 B", "12.3 kB", "1.2 MB": three digits that count, and units of a thousand. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let power = 0;
  // What would be rounded up to a thousand is one of the next unit.
  while (value >= 999.5 && power < powers.length - 1) {
    value /= 1_000;
    power++;
  }
  return `${power === 0 ? Math.round(value) : Number(value.toPrecision(3))} ${powers[power]}B`;
}
