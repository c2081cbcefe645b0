import assert from "node:assert/strict";
import { join } from "node:path";
import { tunnelLimits } from "@/protocol/tunnel.ts";
import { type Exposure, Exposures } from "./exposures.ts";

const idOf = (index: number) =>
  `t${index}`.replaceAll(/[0-9]/g, (digit) => "abcdefghij"[Number(digit)]!).padEnd(26, "z");

function exposure(index: number, more: Partial<Exposure> = {}): Exposure {
  return { tunnelId: idOf(index), port: 3_000 + index, host: null, sessionId: null, expiresAt: null, ...more };
}

async function withPath(work: (path: string) => void): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    work(join(dir, "tunnels.json"));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("a port is exposed under its own tunnel alone, on this machine, also after a restart", () =>
  withPath((path) => {
    const exposures = new Exposures(path, []);
    exposures.add(exposure(1), []);
    for (const known of [exposures, new Exposures(path, [])]) {
      if (known !== exposures) assert.equal(known.load(), null);
      assert.deepEqual(known.targetOf(idOf(1), 3_001), { hostnames: ["127.0.0.1", "::1"], port: 3_001 });
      assert.equal(known.targetOf(idOf(1), 3_002), null);
      assert.equal(known.targetOf(idOf(2), 3_001), null);
    }
    exposures.remove(idOf(1));
    assert.equal(exposures.targetOf(idOf(1), 3_001), null);
  }));

Deno.test("a host is exposed while its owner allows it, and not after", () =>
  withPath((path) => {
    const allowed = new Exposures(path, ["Printer.lan"]);
    assert.throws(() => allowed.add(exposure(1, { host: "10.0.0.1" }), []), /--tunnel-host 10\.0\.0\.1/);
    allowed.add(exposure(2, { host: "printer.lan" }), []);
    assert.deepEqual(allowed.targetOf(idOf(2), 3_002), { hostnames: ["printer.lan"], port: 3_002 });
    const later = new Exposures(path, []);
    assert.equal(later.load(), null);
    assert.equal(later.targetOf(idOf(2), 3_002), null);
  }));

Deno.test("what has expired leads nowhere", () =>
  withPath((path) => {
    let now = 1_000;
    const exposures = new Exposures(path, [], () => now);
    exposures.add(exposure(1, { expiresAt: 2_000 }), []);
    assert.notEqual(exposures.targetOf(idOf(1), 3_001), null);
    now = 2_000;
    assert.equal(exposures.targetOf(idOf(1), 3_001), null);
  }));

Deno.test("tunnels that were closed while the runner was away do not fill it up", () =>
  withPath((path) => {
    const exposures = new Exposures(path, []);
    const { perRunner } = tunnelLimits;
    for (let index = 0; index < perRunner; index++) exposures.add(exposure(index), []);
    assert.equal(exposures.list().length, perRunner);
    const others = [idOf(0)];
    for (let index = 1_000; others.length < perRunner; index++) {
      exposures.add(exposure(index), others);
      others.push(idOf(index));
    }
    assert.deepEqual(new Set(exposures.list().map(({ tunnelId }) => tunnelId)), new Set(others));
    assert.throws(() => exposures.add(exposure(5_000), others), /128 ports already/);
    assert.equal(exposures.list().length, perRunner);
  }));

Deno.test("a file that cannot be read exposes nothing and says why", () =>
  withPath((path) => {
    Deno.writeTextFileSync(path, '[{"port": "80"}]');
    const exposures = new Exposures(path, []);
    assert.match(exposures.load() ?? "", /cannot be read, so nothing is exposed/);
    assert.deepEqual(exposures.list(), []);
  }));
