/** Delays between attempts. Pure: the randomness comes in as an argument. */

export interface BackoffOptions {
  firstMs: number;
  maxMs: number;
}

/** The upper bound of the delay before attempt `attempt` (0 is the first retry): doubles from firstMs to maxMs. */
export function backoffMs(attempt: number, options: BackoffOptions): number {
  return Math.min(options.maxMs, options.firstMs * 2 ** Math.min(attempt, 30));
}

/**
 * Delay before reconnection attempt `attempt` with full jitter, so that a hub that comes back is not met by all its runners at
 * once. The first attempt after a break is immediate. `random` is in [0, 1).
 */
export function reconnectDelayMs(
  attempt: number,
  random: number,
  options: BackoffOptions = { firstMs: 250, maxMs: 15_000 },
): number {
  if (attempt === 0) return 0;
  return Math.round(options.firstMs / 2 + random * (backoffMs(attempt - 1, options) - options.firstMs / 2));
}
