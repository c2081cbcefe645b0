import assert from "node:assert/strict";
import fc from "fast-check";
import { limits, parseFrame, relayClient, relayServer, runnerClient, viewerClient, viewerServer } from "./mod.ts";

Deno.test("a frame may hold one message or an array of them", () => {
  const ping = { type: "ping", at: 1 };
  assert.deepEqual(parseFrame(viewerClient, JSON.stringify(ping)).messages, [ping]);
  assert.deepEqual(parseFrame(viewerClient, JSON.stringify([ping, ping])).messages, [ping, ping]);
});

Deno.test("a wrong field is named, and the messages beside it survive", () => {
  const frame = parseFrame(
    viewerClient,
    JSON.stringify([
      { type: "ping" },
      { type: "command", op: "op1", sessionId: "s", command: { kind: "prompt", text: 5, delivery: "prompt" } },
      { type: "switch_session", sessionId: "../x", generation: 1 },
    ]),
  );
  assert.equal(frame.messages.length, 1);
  assert.deepEqual(frame.errors.map(({ code, field, ref }) => ({ code, field, ref })), [
    { code: "invalid_message", field: "command.text", ref: "op1" },
    { code: "invalid_message", field: "sessionId", ref: undefined },
  ]);
});

Deno.test("an event must carry exactly one of entry and meta", () => {
  const event = { type: "event", sessionId: "s", epoch: 1, seq: 1 };
  assert.equal(parseFrame(relayClient, JSON.stringify(event)).errors[0]?.field, "entry");
  assert.equal(parseFrame(relayClient, JSON.stringify({ ...event, meta: { title: "x" } })).messages.length, 1);
});

Deno.test("unknown types are counted, binary and oversize frames are refused", () => {
  assert.equal(parseFrame(viewerClient, '{"type":"nope"}').unknownTypes, 1);
  assert.equal(parseFrame(viewerClient, '{"type":"__proto__"}').unknownTypes, 1);
  assert.equal(parseFrame(viewerClient, new Uint8Array(3)).errors[0]?.code, "bad_frame");
  assert.equal(parseFrame(viewerClient, " ".repeat(limits.frameBytes + 1)).errors[0]?.code, "too_large");
  assert.equal(
    parseFrame(viewerClient, JSON.stringify(Array(limits.messagesPerFrame + 1).fill({ type: "ping" }))).errors[0]?.code,
    "too_large",
  );
});

Deno.test("no text makes the parser throw, and everything in a frame is accounted for", () => {
  const types = [relayClient, relayServer, runnerClient, viewerClient, viewerServer];
  const message = fc.oneof(
    fc.anything(),
    fc.record({
      type: fc.constantFrom(...types.flatMap(Object.keys)),
      sessionId: fc.anything(),
      seq: fc.anything(),
      command: fc.anything(),
    }, { requiredKeys: ["type"] }),
  );
  fc.assert(fc.property(fc.constantFrom(...types), fc.array(message, { maxLength: 5 }), (schemas, messages) => {
    const text = JSON.stringify(messages);
    const frame = parseFrame(schemas, text);
    assert.equal(frame.messages.length + frame.errors.length + frame.unknownTypes, JSON.parse(text).length);
    for (const error of frame.errors) assert.equal(viewerServer.error.safeParse(error).success, true);
  }));
  fc.assert(fc.property(fc.string(), (text) => void parseFrame(viewerClient, text)));
});
