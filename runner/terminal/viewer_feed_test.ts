import assert from "node:assert/strict";
import fc from "fast-check";
import { terminalLimits, terminalTypes } from "@/protocol/terminal.ts";
import { FedMessage, ViewerFeed } from "./viewer_feed.ts";

const { windowBytes, backlogBytes, messageBytes } = terminalLimits;

/** Output whose first byte is its name, in memory that is overwritten once it was pushed. */
function output(name: number, outputBytes = messageBytes): FedMessage {
  return new FedMessage(terminalTypes.output, new Uint8Array(outputBytes).fill(name, 0, 1), { isKept: false });
}

/** A message that is no output. */
function note(name: number): FedMessage {
  return new FedMessage(terminalTypes.status, Uint8Array.of(name), { isKept: true });
}

/** Pushes, then uses the memory for something else. */
function push(feed: ViewerFeed, message: FedMessage): void {
  const { payload } = message;
  feed.push(message);
  if (message.outputBytes > 0) payload.fill(0xff);
}

/** A feed, what it sent, and how often it asked for a screen. */
function made() {
  const sent: number[] = [];
  const asked = { times: 0 };
  const feed = new ViewerFeed(({ payload }) => sent.push(payload[0]!), () => asked.times++);
  return { feed, sent, asked };
}

Deno.test("a viewer is sent a window of output, and more as it shows it, in order", () => {
  const { feed, sent } = made();
  feed.restart([]);
  const inWindow = windowBytes / messageBytes;
  for (let i = 0; i < inWindow + 3; i++) push(feed, output(i));
  assert.equal(sent.length, inWindow);
  feed.credit(messageBytes);
  assert.equal(sent.length, inWindow + 1);
  feed.credit(10 * messageBytes);
  assert.deepEqual(sent, Array.from({ length: inWindow + 3 }, (_, i) => i));
});

Deno.test("what is not output passes without credit, in its place", () => {
  const { feed, sent } = made();
  feed.restart([]);
  push(feed, output(1, windowBytes));
  push(feed, note(2));
  push(feed, output(3));
  push(feed, note(4));
  assert.deepEqual(sent, [1, 2]);
  feed.credit(windowBytes);
  assert.deepEqual(sent, [1, 2, 3, 4]);
});

Deno.test("a viewer that falls behind is asked for a screen when it has room, and begins anew with it", () => {
  const { feed, sent, asked } = made();
  feed.restart([]);
  const count = (windowBytes + backlogBytes) / messageBytes + 1;
  for (let i = 0; i < count; i++) push(feed, output(1));
  assert.ok(feed.isBehind);
  assert.equal(feed.waitingBytes, 0);
  feed.credit(windowBytes / 4);
  assert.equal(asked.times, 0);
  feed.credit(windowBytes / 4);
  assert.equal(asked.times, 1);
  feed.restart([output(9), output(10)]);
  push(feed, output(11));
  assert.deepEqual(sent.slice(-3), [9, 10, 11]);
});

Deno.test("whatever comes, a viewer never waits for more than screen and backlog, nor is sent more than its window", () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant("push" as const), bytes: fc.integer({ min: 0, max: messageBytes }) }),
    fc.record({ do: fc.constant("credit" as const), bytes: fc.integer({ min: 0, max: windowBytes }) }),
    fc.record({ do: fc.constant("restart" as const), bytes: fc.integer({ min: 0, max: 3 * windowBytes }) }),
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
    let unshown = 0;
    const feed = new ViewerFeed(({ outputBytes }) => unshown += outputBytes, () => {});
    let screen = 0;
    for (const { do: what, bytes } of steps) {
      if (what === "push") feed.push(output(0, bytes));
      else if (what === "credit") {
        unshown = Math.max(0, unshown - bytes);
        feed.credit(bytes);
      } else {
        const parts: FedMessage[] = [];
        for (let at = 0; at < bytes; at += messageBytes) parts.push(output(0, Math.min(messageBytes, bytes - at)));
        screen = bytes;
        feed.restart(parts);
      }
      assert.ok(unshown < windowBytes + messageBytes);
      assert.ok(feed.waitingBytes <= screen + backlogBytes);
    }
  }));
});
