import assert from "node:assert/strict";
import fc from "fast-check";
import { Allowance, ReceiveBudget } from "./receive_budget.ts";

const options = { firstBytes: 32, windowBytes: 1_024, sharedBytes: 4_096 };

/** One stream: a sender that uses all of its credit, and a reader. */
class Flow {
  readonly allowance: Allowance;
  unread = 0;
  credit: number;
  isOver = false;

  constructor(budget: ReceiveBudget) {
    this.allowance = new Allowance(budget);
    this.credit = budget.firstBytes;
  }

  get held(): number {
    return this.unread + (this.isOver ? 0 : this.credit);
  }

  send(bytes: number): void {
    const sent = Math.min(bytes, this.credit);
    if (this.isOver || sent === 0) return;
    assert.ok(this.allowance.received(sent));
    this.credit -= sent;
    this.unread += sent;
  }

  read(bytes: number): void {
    const count = Math.min(bytes, this.unread);
    if (count === 0) return;
    this.unread -= count;
    if (!this.allowance.taken(count)) return;
    this.credit += this.allowance.grant();
  }
}

Deno.test("a window grows while its reader keeps up, and not before", () => {
  const budget = new ReceiveBudget(options);
  const flow = new Flow(budget);
  for (let i = 0; i < 1_000; i++) flow.send(1);
  assert.equal(flow.unread, 32);
  // A few bytes now and then: a terminal's keys.
  flow.read(32);
  for (let i = 0; i < 3; i++) {
    flow.send(1);
    flow.read(1);
  }
  assert.ok(flow.held <= 64, `${flow.held} bytes are held`);
  for (let i = 0; i < 20; i++) {
    flow.send(Infinity);
    flow.read(Infinity);
  }
  assert.equal(flow.held, options.windowBytes);
  assert.equal(budget.usedBytes, options.windowBytes - options.firstBytes);
});

Deno.test("more than was granted is not taken", () => {
  const budget = new ReceiveBudget(options);
  const allowance = new Allowance(budget);
  assert.equal(allowance.received(33), false);
  assert.ok(allowance.received(32));
  assert.equal(allowance.received(1), false);
});

Deno.test("readers that stand still use up what is shared, and the others go on with their first bytes", () => {
  const budget = new ReceiveBudget(options);
  const stalled: Flow[] = [];
  // Each gets as large a window as it can, then stops.
  for (let i = 0; i < 100; i++) {
    const flow = new Flow(budget);
    for (let turn = 0; turn < 20; turn++) {
      flow.send(Infinity);
      flow.read(Infinity);
    }
    flow.send(Infinity);
    stalled.push(flow);
  }
  assert.ok(budget.usedBytes <= options.sharedBytes);
  assert.ok(budget.usedBytes > options.sharedBytes - 2 * options.firstBytes, `${budget.usedBytes} bytes are used`);
  assert.ok(budget.squeezedGrants > 0);
  const last = new Flow(budget);
  let read = 0;
  for (let turn = 0; turn < 1_000; turn++) {
    last.send(Infinity);
    read += last.unread;
    last.read(Infinity);
  }
  assert.ok(read >= 1_000 * options.firstBytes / 2, `${read} bytes in 1,000 turns`);
  // What stood still gives its part back when it goes on, or ends.
  for (const flow of stalled) flow.allowance.drop();
  assert.equal(budget.streams, 1);
  for (let turn = 0; turn < 20; turn++) {
    last.send(Infinity);
    last.read(Infinity);
  }
  assert.equal(last.held, options.windowBytes);
});

Deno.test("whatever comes, is read and ends: no more is held than the bound, the sum is right, and every reader gets on", () => {
  const step = fc.record({
    do: fc.constantFrom("send", "send", "send", "read", "read", "read", "end", "drop", "open"),
    flow: fc.nat(15),
    bytes: fc.nat(1_200),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), fc.integer({ min: 0, max: 5_000 }), (steps, sharedBytes) => {
      const budget = new ReceiveBudget({ ...options, sharedBytes });
      const flows: Flow[] = [new Flow(budget)];
      for (const { do: what, flow: index, bytes } of steps) {
        const flow = flows[index % flows.length]!;
        if (what === "open") flows.push(new Flow(budget));
        else if (what === "send") flow.send(bytes);
        else if (what === "read") flow.read(bytes);
        else {
          flow.isOver = true;
          if (what === "drop") flow.unread = 0;
          flow.allowance[what]();
        }
        const beyond = flows.map(({ held }) => Math.max(0, held - options.firstBytes));
        assert.equal(budget.usedBytes, beyond.reduce((sum, one) => sum + one, 0));
        assert.ok(budget.usedBytes <= sharedBytes);
        assert.equal(budget.streams, flows.filter(({ isOver }) => !isOver).length);
        for (const { held } of flows) assert.ok(held <= options.windowBytes);
      }
      for (const flow of flows) {
        flow.read(Infinity);
        assert.ok(flow.isOver || flow.credit > 0, "a reader that took everything leaves its sender without credit");
      }
    }),
    { numRuns: 1_000 },
  );
});
