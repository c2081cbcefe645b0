/**
 * KV Connect over a network. denokv leaves Nagle's algorithm on: while the client has not acknowledged what it got, the kernel
 * holds back what is written next, and the client's kernel delays the acknowledgement by 40 ms unless it has something to send.
 * Answers go out in HTTP/2 frames of 16 KiB, so a list of 20 kB took 44 ms and one of 15 kB 0.4 ms; of two operations at once
 * the second waited as long; and what a watch has to tell waited behind the answer before it, 25 ms on average. Two remedies: watches have a connection of their own, on
 * which, while changes keep coming, a tiny read acknowledges them every few milliseconds; and while an operation waits and nothing else is being sent, a tiny read goes out now and then, which
 * carries the acknowledgement (20 kB take 3.5 ms).
 */

/** Pauses before a nudge while an operation waits. After the last one the kernel acknowledges by itself. */
const nudgeAfterMs = [2, 2, 3, 4, 6, 8, 12];
const nudgeKey: Deno.KvKey = ["nudge"];
/** A watch that tells of something may tell more soon: it is acknowledged this often, until it was quiet for as long. */
const ackEveryMs = 4;
const ackForMs = 60;
/** Unanswered ones at a time: a server that is gone is not asked without end. */
const maxAsked = 8;

/** One KV of two connections to the same server, of which one only watches. It closes both. */
export function joinConnections(kv: Deno.Kv, watching: Deno.Kv): Deno.Kv {
  const nudges = new Nudges(kv);
  const acks = new Acknowledgements(watching);
  return new Proxy(kv, {
    get(target, name) {
      // Methods of the class behind Deno.Kv need the real object as `this`.
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== "function") return member;
      switch (name) {
        case "get":
        case "getMany":
        case "set":
        case "delete":
          return (...args: unknown[]) => nudges.during(() => Promise.resolve(member.apply(target, args)));
        case "list":
          return (...args: Parameters<Deno.Kv["list"]>) => {
            const iterator = target.list(...args);
            const next = iterator.next.bind(iterator);
            iterator.next = () => nudges.during(next);
            return iterator;
          };
        case "atomic":
          return () => {
            const atomic = target.atomic();
            const commit = atomic.commit.bind(atomic);
            atomic.commit = () => nudges.during(commit);
            return atomic;
          };
        case "watch":
          return (...args: Parameters<Deno.Kv["watch"]>) =>
            watching.watch(...args).pipeThrough(
              new TransformStream({
                transform(changes, controller) {
                  acks.heard();
                  controller.enqueue(changes);
                },
              }),
            );
        case "close":
          return () => {
            nudges[Symbol.dispose]();
            acks[Symbol.dispose]();
            watching.close();
            target.close();
          };
        default:
          return member.bind(target);
      }
    },
  });
}

class Nudges {
  readonly #kv: Deno.Kv;
  #waiting = 0;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #sentMs = 0;
  #count = 0;
  #isClosed = false;

  constructor(kv: Deno.Kv) {
    this.#kv = kv;
  }

  async during<T>(operation: () => Promise<T>): Promise<T> {
    // What is sent acknowledges all that has come.
    this.#sentMs = performance.now();
    this.#count = 0;
    this.#waiting++;
    this.#timer ??= setTimeout(() => this.#look(), nudgeAfterMs[0]);
    try {
      return await operation();
    } finally {
      this.#waiting--;
    }
  }

  #look(): void {
    this.#timer = null;
    const pauseMs = nudgeAfterMs[this.#count];
    if (this.#waiting === 0 || pauseMs === undefined || this.#isClosed) return;
    const restMs = pauseMs - (performance.now() - this.#sentMs);
    if (restMs <= 0.5) {
      this.#sentMs = performance.now();
      this.#count++;
      // Its answer is of no interest; whatever is wrong with the server, the operation that waits finds out.
      this.#kv.get(nudgeKey).catch(() => {});
    }
    this.#timer = setTimeout(() => this.#look(), restMs <= 0.5 ? nudgeAfterMs[this.#count] ?? 1 : restMs);
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }
}

/** Acknowledges on a connection that only watches, for as long as something keeps coming. */
class Acknowledgements {
  readonly #kv: Deno.Kv;
  #timer: ReturnType<typeof setInterval> | null = null;
  #heardMs = 0;
  #asked = 0;

  constructor(kv: Deno.Kv) {
    this.#kv = kv;
  }

  heard(): void {
    this.#heardMs = performance.now();
    this.#timer ??= setInterval(() => this.#acknowledge(), ackEveryMs);
  }

  #acknowledge(): void {
    if (performance.now() - this.#heardMs > ackForMs) return this[Symbol.dispose]();
    // An answer to one may itself wait for the acknowledgement that the next one carries.
    if (this.#asked >= maxAsked) return;
    this.#asked++;
    this.#kv.get(nudgeKey).catch(() => {}).finally(() => this.#asked--);
  }

  [Symbol.dispose](): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}
