import assert from "node:assert/strict";
import { join } from "node:path";
import { backoffMs, reconnectDelayMs } from "./backoff.ts";
import { dataDir } from "./data_dir.ts";
import { exitCodes, nextStep, runningRunner, runSupervisor } from "./supervisor.ts";

Deno.test("a daemon that fails is started again with growing delays, a healthy one without", () => {
  let failures = 0;
  const delays: number[] = [];
  for (let i = 0; i < 9; i++) {
    const step = nextStep(1, 500, failures);
    assert.equal(step.do, "restart");
    if (step.do !== "restart") return;
    delays.push(step.delayMs);
    failures = step.failures;
  }
  assert.deepEqual(delays, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  assert.deepEqual(nextStep(1, 60_000, failures), { do: "restart", delayMs: 1_000, failures: 1 });
  assert.deepEqual(nextStep(exitCodes.restart, 10, failures), { do: "restart", delayMs: 0, failures: 0 });
  assert.deepEqual(nextStep(exitCodes.stop, 10, 3), { do: "stop", code: 0 });
  assert.deepEqual(nextStep(exitCodes.giveUp, 10, 3), { do: "stop", code: exitCodes.giveUp });
});

Deno.test("reconnection is immediate once, then jittered up to a doubling bound", () => {
  const options = { firstMs: 250, maxMs: 15_000 };
  assert.equal(reconnectDelayMs(0, 0.9), 0);
  assert.ok(reconnectDelayMs(1, 0.999) <= 250);
  assert.ok(reconnectDelayMs(1, 0) > 0, "a hub that refuses is not hammered");
  assert.equal(backoffMs(100, options), 15_000);
  assert.ok(reconnectDelayMs(50, 0.999) <= 15_000);
});

Deno.test("the supervisor restarts its daemon as the exit code says", async () => {
  const path = Deno.makeTempDirSync({ prefix: "perch-super-" });
  try {
    const dir = dataDir(path, {});
    const count = join(path, "count");
    // Ends with 42 twice, then gives up.
    const script =
      `n=$(cat "${count}" 2>/dev/null || echo 0); echo $((n+1)) > "${count}"; [ "$n" -lt 2 ] && exit 42; exit 78`;
    const code = await runSupervisor({
      dataDir: dir,
      daemonCommand: { program: "sh", args: ["-c", script] },
      write: () => {},
      orphaned: null,
    });
    assert.equal(code, exitCodes.giveUp);
    assert.equal(Deno.readTextFileSync(count).trim(), "3");
    assert.equal(runningRunner(dir), null, "the lock is given back");
  } finally {
    Deno.removeSync(path, { recursive: true });
  }
});
