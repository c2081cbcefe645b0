/** A hub that is killed and started again is met by all its hosts at once: all get in, and nothing is lost. */
import assert from "node:assert/strict";
import { startHub } from "../support/hub.ts";
import { ScriptedProducer } from "../support/producer.ts";
import { ScriptedViewer } from "../support/viewer.ts";

const HOSTS = 200;
const RECORDS = 30;

Deno.test(`kill -9 under ${HOSTS} hosts: all of them register again, send again, and every record is there once`, async () => {
  await using hub = await startHub();
  await using stack = new AsyncDisposableStack();
  const hosts = Array.from({ length: HOSTS }, () => stack.use(new ScriptedProducer(hub)));
  await Promise.all(hosts.map((host) => host.registered()));
  const say = () => hosts.forEach((host) => host.say(`record ${host.lastSeq + 1} of ${host.sessionId}`));
  for (let i = 0; i < RECORDS; i++) say();
  await Promise.all(hosts.map((host) => host.until(() => host.ackedSeq > 0, "the first ack")));
  const acked = hosts.map((host) => host.ackedSeq);
  await hub.kill9();
  for (let i = 0; i < RECORDS; i++) say();
  const startMs = performance.now();
  await hub.restart();
  const upMs = performance.now();
  await Promise.all(hosts.map((host) => host.until(() => host.counts.registrations > 1, "the second registration")));
  console.log(
    `hub up after ${Math.round(upMs - startMs)} ms, ${HOSTS} hosts registered ${
      Math.round(performance.now() - upMs)
    } ms later`,
  );
  await Promise.all(hosts.map((host) => host.settled()));
  hosts.forEach((host, i) => {
    assert.ok(host.ackedSeq >= acked[i]!);
    assert.equal(host.ackedSeq, 2 * RECORDS);
    assert.deepEqual(host.errors, []);
  });
  for (const host of hosts.slice(0, 5)) {
    await using viewer = new ScriptedViewer(hub, host.sessionId);
    await viewer.loadAll();
    const expected = Array.from({ length: 2 * RECORDS }, (_, i) => `record ${i + 1} of ${host.sessionId}`);
    assert.deepEqual(viewer.shown().map(({ text }) => text), expected);
  }
});
