/**
 * Embedded KV under several isolates: SQLite lets one connection write at a time, and when worker isolates of one process
 * all write at once Deno gives up with "TypeError: database is locked" after a short while. Nothing was written then, so
 * trying again is safe; every isolate would have to do it at every write, so it is done here, once.
 */

/** Total time that one operation keeps trying. Beyond it the database is not busy but stuck. */
const maxWaitMs = 10_000;
/** Longest pause between two tries; it is random up to this, so that isolates do not meet again. */
const maxPauseMs = 25;

/** Longest wait for one's turn. */
const maxTurnMs = 2_000;

function isLocked(error: unknown): boolean {
  return error instanceof Error && /database (table )?is locked/i.test(error.message);
}

async function untilUnlocked<T>(operation: () => Promise<T>): Promise<T> {
  const giveUpAt = performance.now() + maxWaitMs;
  for (let tries = 1;; tries++) {
    try {
      return await operation();
    } catch (error) {
      if (!isLocked(error) || performance.now() > giveUpAt) throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.random() * Math.min(maxPauseMs, tries * 4)));
    }
  }
}

/**
 * The same KV, whose reads of single keys and writes wait while another isolate writes. With `turns`, a name that all
 * isolates of the process share for this database, writers also queue up for a Web Lock first: two isolates that write
 * without a pause then wait 4 ms at most, where SQLite alone, which wakes waiters by chance, let one wait for 1.2 s. It costs
 * a fifth of a millisecond a commit, so an isolate that is alone goes without.
 */
export function waitWhenLocked(kv: Deno.Kv, turns: string | null = null): Deno.Kv {
  const write = <T>(operation: () => Promise<T>): Promise<T> =>
    turns === null ? untilUnlocked(operation) : inTurn(turns, () => untilUnlocked(operation));
  return new Proxy(kv, {
    get(target, name) {
      // Methods of the class behind Deno.Kv need the real object as `this`.
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== "function") return member;
      if (name === "atomic") {
        return () => {
          const atomic = target.atomic();
          const commit = atomic.commit.bind(atomic);
          atomic.commit = () => write(commit);
          return atomic;
        };
      }
      if (name === "get" || name === "getMany" || name === "set" || name === "delete") {
        const run = name === "get" || name === "getMany" ? untilUnlocked : write;
        return (...args: unknown[]) => run(() => Promise.resolve(member.apply(target, args)));
      }
      return member.bind(target);
    },
  });
}

/** Runs `operation` when it is its turn, or without one when the turn does not come: SQLite's own lock is the real guard. */
async function inTurn<T>(turns: string, operation: () => Promise<T>): Promise<T> {
  const giveUp = new AbortController();
  const timer = setTimeout(() => giveUp.abort(), maxTurnMs);
  let hasBegun = false;
  try {
    return await navigator.locks.request(turns, { signal: giveUp.signal }, () => {
      hasBegun = true;
      clearTimeout(timer);
      return operation();
    });
  } catch (error) {
    if (hasBegun || !giveUp.signal.aborted) throw error;
    return await operation();
  } finally {
    clearTimeout(timer);
  }
}
