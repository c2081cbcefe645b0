/** Protocol version and semver helpers. */

/** Raised only for breaking changes of the handshake; new messages do not need it, unknown types are ignored. */
export const PROTOCOL_VERSION = 1;

/** The version of this program. Kept equal to deno.json's by a test. */
export const PERCH_VERSION = "0.1.0";

/**
 * Whether the other side's protocol version can be spoken with. A missing or unparseable one counts as compatible
 * (an old client degrades gracefully), a different integer does not.
 */
export function isProtocolCompatible(version: unknown): boolean {
  const text = typeof version === "number" ? String(version) : version;
  if (typeof text !== "string" || !/^\d{1,9}$/.test(text.trim())) return true;
  return Number(text) === PROTOCOL_VERSION;
}

/** Major, minor and patch of a semantic version ("v1.2.3-rc.1" gives [1, 2, 3]), or null when there is none. */
export function parseSemverTriplet(version: string): [number, number, number] | null {
  const match = /^\s*v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:[-+][0-9A-Za-z.+-]*)?\s*$/.exec(version);
  return match ? [Number(match[1]), Number(match[2]), Number(match[3])] : null;
}

/** Compares two versions by their triplets: negative, 0 or positive; null when either is not a semantic version. */
export function compareSemver(a: string, b: string): number | null {
  const left = parseSemverTriplet(a);
  const right = parseSemverTriplet(b);
  if (!left || !right) return null;
  return left[0] - right[0] || left[1] - right[1] || left[2] - right[2];
}
