import assert from "node:assert/strict";
import { type PtyState, PtyWatch } from "./pty_watch.ts";

const working = { isWorking: true, needsYou: false };
const waiting = { isWorking: false, needsYou: true };
const calm = { isWorking: false, needsYou: false };

/** A watch whose states can be waited for. */
function watched(silenceMs: number, workMs = 5) {
  const states: PtyState[] = [];
  let silences = 0;
  let changed = Promise.withResolvers<void>();
  const watch = new PtyWatch({
    silenceMs,
    workMs,
    echoMs: 1_000,
    now: () => clock.ms,
    onState: (state) => {
      states.push(state);
      changed.resolve();
      changed = Promise.withResolvers();
    },
    onSilence: () => silences++,
  });
  const clock = { ms: 0 };
  const until = async (state: PtyState) => {
    while (JSON.stringify(states.at(-1)) !== JSON.stringify(state)) await changed.promise;
  };
  return { watch, states, clock, until, silences: () => silences };
}

Deno.test("output is work, the end of it is calm, long silence asks for a person once", async () => {
  const { watch, states, until, silences } = watched(30);
  using _ = watch;
  watch.output();
  assert.deepEqual(states, [working]);
  await until(waiting);
  assert.deepEqual(states, [working, calm, waiting]);
  assert.equal(silences(), 1);
  watch.person();
  assert.deepEqual(states.at(-1), calm);
});

Deno.test("the echo of what a person types is no work", () => {
  const { watch, states, clock } = watched(30);
  using _ = watch;
  watch.person();
  clock.ms = 999;
  watch.output();
  assert.deepEqual(states, []);
  clock.ms = 1_001;
  watch.output();
  assert.deepEqual(states, [working]);
});

Deno.test("what is drawn for another size is no work, and nobody came for it", () => {
  const { watch, states, clock } = watched(30);
  using _ = watch;
  watch.raised();
  watch.resized();
  clock.ms = 999;
  watch.output();
  assert.deepEqual(states, [waiting]);
});

Deno.test("who looks sees the silence; the bell asks whoever looks", async () => {
  const { watch, states, until, silences } = watched(1, 60);
  using _ = watch;
  watch.viewers(1);
  watch.output();
  await until(calm);
  assert.equal(silences(), 0);
  watch.raised();
  assert.deepEqual(states.at(-1), waiting);
  watch.output();
  assert.deepEqual(states.at(-1), { isWorking: true, needsYou: true });
  watch.reset();
  assert.deepEqual(states.at(-1), calm);
});

Deno.test("an echo prolongs work that is seen, and is no beginning of a silence", async () => {
  const { watch, until, silences } = watched(1);
  using _ = watch;
  watch.output();
  watch.person();
  watch.output();
  await until(calm);
  assert.equal(silences(), 0);
});

Deno.test("a silence of 0 means nothing", async () => {
  const { watch, until, silences } = watched(0);
  using _ = watch;
  watch.output();
  await until(calm);
  assert.equal(silences(), 0);
});
