/** For tests of what a failing database does to whoever uses it. */

/** A KV whose commits fail when `isFailing` says so: "before" wrote nothing, "after" wrote everything. */
export function faultyKv(kv: Deno.Kv, isFailing: () => "before" | "after" | null): Deno.Kv {
  return new Proxy(kv, {
    get(target, name) {
      if (name !== "atomic") {
        const member: unknown = Reflect.get(target, name, target);
        return typeof member === "function" ? member.bind(target) : member;
      }
      return () => {
        const atomic = target.atomic();
        const commit = atomic.commit.bind(atomic);
        atomic.commit = async () => {
          const failing = isFailing();
          if (failing === "before") throw new TypeError("connection lost before the commit");
          const result = await commit();
          if (failing === "after") throw new TypeError("connection lost after the commit");
          return result;
        };
        return atomic;
      };
    },
  });
}

/** A KV that refuses commits of more than `maxChecks` checks, in the words of a denokv server. */
export function strictKv(kv: Deno.Kv, maxChecks: number): Deno.Kv {
  return new Proxy(kv, {
    get(target, name) {
      if (name !== "atomic") {
        const member: unknown = Reflect.get(target, name, target);
        return typeof member === "function" ? member.bind(target) : member;
      }
      return () => {
        const atomic = target.atomic();
        const check = atomic.check.bind(atomic);
        const commit = atomic.commit.bind(atomic);
        let count = 0;
        atomic.check = (...checks) => {
          count += checks.length;
          return check(...checks);
        };
        atomic.commit = () =>
          count > maxChecks ? Promise.reject(new Error("Too many checks included in atomic write.")) : commit();
        return atomic;
      };
    },
  });
}

/** Fails a part of the commits, the same ones for the same seed. */
export function seededFaults(seed: number, part: number): () => "before" | "after" | null {
  let state = seed;
  const next = () => (state = (state * 1_103_515_245 + 12_345) % 2_147_483_648) / 2_147_483_648;
  return () => next() >= part ? null : next() < 0.5 ? "before" : "after";
}
