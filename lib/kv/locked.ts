/**
 * Embedded KV under several isolates: SQLite lets one connection write at a time, and when worker isolates of one process
 * all write at once Deno gives up with "TypeError: database is locked" after a short while. Nothing was written then, so
 * trying again is safe; every isolate would have to do it at every write, so it is done here, once.
 */

/** Total time that one operation keeps trying. Beyond it the database is not busy but stuck. */
const maxWaitMs = 10_000;
/** Longest pause between two tries; it is random up to this, so that isolates do not meet again. */
const maxPauseMs = 25;

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

/** The same KV, whose reads of single keys and writes wait while another isolate writes. */
export function waitWhenLocked(kv: Deno.Kv): Deno.Kv {
  return new Proxy(kv, {
    get(target, name) {
      // Methods of the class behind Deno.Kv need the real object as `this`.
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== "function") return member;
      if (name === "atomic") {
        return () => {
          const atomic = target.atomic();
          const commit = atomic.commit.bind(atomic);
          atomic.commit = () => untilUnlocked(commit);
          return atomic;
        };
      }
      if (name === "get" || name === "getMany" || name === "set" || name === "delete") {
        return (...args: unknown[]) => untilUnlocked(() => Promise.resolve(member.apply(target, args)));
      }
      return member.bind(target);
    },
  });
}
