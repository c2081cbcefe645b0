/** Bounded waiting: tests wait for events, never for time to pass. */

/** How long a test waits for something that must happen, on a machine that is busy. */
export const PATIENCE_MS = 30_000;

/** Rejects with `what` when the promise has not settled in time. */
export async function within<T>(promise: Promise<T>, what: string, timeoutMs = PATIENCE_MS): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not happen within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** How often a state that sends no event (a process, a file) is looked at. */
const LOOK_MS = 20;

/** Looks until `check` gives something other than null, undefined or false, and returns that. */
export async function eventually<T>(
  check: () => Promise<T | null | undefined | false> | T | null | undefined | false,
  what: string,
  timeoutMs = PATIENCE_MS,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = await check();
    if (found !== null && found !== undefined && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`${what} did not happen within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** Lets several waiters look again whenever something changed. */
export class Changes {
  #waiters = new Set<() => void>();

  notify(): void {
    for (const look of [...this.#waiters]) look();
  }

  /** Resolves with what `check` gives once that is not null, undefined or false; it is asked after each `notify`. */
  until<T>(check: () => T | null | undefined | false, what: string, timeoutMs = PATIENCE_MS): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const look = () => {
      try {
        const found = check();
        if (found !== null && found !== undefined && found !== false) resolve(found);
      } catch (error) {
        reject(error);
      }
    };
    this.#waiters.add(look);
    look();
    return within(promise, what, timeoutMs).finally(() => this.#waiters.delete(look));
  }
}
