/** The stream text of an open entry, and deltas that append to it. */

export type DeltaMerge =
  /** Append `suffix`: what of the delta was not there yet. */
  | { verdict: "applied"; suffix: string }
  /** All of it is already there. */
  | { verdict: "duplicate" }
  /** Text before it is missing: ask again. */
  | { verdict: "gap" };

/**
 * Decides what a delta adds to a text of `length` UTF-16 units. Idempotent: a delta that begins where the text ends is
 * appended, an overlap is dropped, and one that begins beyond the end is a gap.
 */
export function mergeDelta(length: number, at: number, text: string): DeltaMerge {
  if (at > length) return { verdict: "gap" };
  if (at + text.length <= length) return { verdict: "duplicate" };
  return { verdict: "applied", suffix: text.slice(length - at) };
}
