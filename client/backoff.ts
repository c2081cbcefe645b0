/** How long to wait before the n-th attempt to reconnect. Pure: time and chance are passed in. */

/** The longest wait between two attempts; there is no last attempt. */
export const BACKOFF_MAX_MS = 15_000;
const BACKOFF_BASE_MS = 400;

/**
 * Exponential back-off with jitter, in milliseconds: between half and all of `400 · 2^attempt`, capped at
 * {@linkcode BACKOFF_MAX_MS}. Jitter keeps a hub that restarts from being met by all its tabs in the same instant.
 *
 * @param attempt failed attempts so far, from 0
 * @param random a number in [0, 1)
 */
export function backoffMs(attempt: number, random: number): number {
  const full = Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** Math.min(Math.max(attempt, 0), 16));
  return Math.round(full / 2 + (full / 2) * random);
}
