import assert from "node:assert/strict";
import fc from "fast-check";
import {
  closeCodeOf,
  encodeHead,
  encodeSocketMessage,
  endToEnd,
  HeadDecoder,
  isHeaderValue,
  isTarget,
  type SocketMessage,
  SocketMessageDecoder,
  TunnelBytesError,
} from "./tunnel.ts";

/** Cuts bytes at the given places. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const at = [...new Set([0, ...places.map((place) => place % (bytes.length + 1)), bytes.length])].sort((a, b) =>
    a - b
  );
  return at.slice(1).map((end, index) => bytes.slice(at[index], end));
}

function concat(parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

Deno.test("tunnel - a head survives any cutting, and what follows it is kept", () => {
  fc.assert(fc.property(
    fc.integer({ min: 100, max: 599 }),
    fc.array(fc.tuple(fc.string({ minLength: 1, maxLength: 20 }), fc.string({ maxLength: 40 })), { maxLength: 8 }),
    fc.uint8Array({ maxLength: 64 }),
    fc.array(fc.nat(400), { maxLength: 6 }),
    (status, headers, body, places) => {
      const decoder = new HeadDecoder();
      let found: ReturnType<HeadDecoder["push"]> = null;
      const after: Uint8Array[] = [];
      for (const part of cut(concat([encodeHead({ status, headers }), body]), places)) {
        if (found !== null) after.push(part);
        else {
          found = decoder.push(part);
          if (found !== null) after.push(found.rest);
        }
      }
      assert.deepEqual(found?.head, { status, headers });
      assert.deepEqual(concat(after), body);
    },
  ));
});

Deno.test("tunnel - WebSocket messages survive any cutting", () => {
  const message: fc.Arbitrary<SocketMessage> = fc.oneof(
    fc.record({ kind: fc.constant("text" as const), text: fc.string({ unit: "grapheme" }) }),
    fc.record({ kind: fc.constant("binary" as const), bytes: fc.uint8Array() }),
    fc.record({
      kind: fc.constant("close" as const),
      code: fc.integer({ min: 1000, max: 4999 }),
      reason: fc.string({ maxLength: 30 }),
    }),
  );
  fc.assert(
    fc.property(fc.array(message, { maxLength: 6 }), fc.array(fc.nat(400), { maxLength: 12 }), (sent, places) => {
      const decoder = new SocketMessageDecoder();
      const got = cut(concat(sent.map(encodeSocketMessage)), places).flatMap((part) => decoder.push(part));
      assert.deepEqual(got.map(plain), sent.map(plain));
    }),
  );
});

function plain(message: SocketMessage): unknown {
  return { ...message, ...(message.kind === "binary" ? { bytes: [...message.bytes] } : {}) };
}

Deno.test("tunnel - arbitrary bytes are decoded or refused with a typed error", () => {
  fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 5 }), (parts) => {
    for (const decoder of [new HeadDecoder(), new SocketMessageDecoder()]) {
      try {
        for (const part of parts) if (decoder.push(part) !== null && decoder instanceof HeadDecoder) break;
      } catch (error) {
        assert.ok(error instanceof TunnelBytesError, String(error));
      }
    }
  }));
});

Deno.test("tunnel - what could begin another header or request is no value and no target", () => {
  for (const value of ["a\r\nb: c", "a\nb", "a\rb", "a\0b", "a\x7fb", "\u{1f426}"]) {
    assert.equal(isHeaderValue(value), false);
  }
  for (const value of ["", "a b\tc", "text/html; charset=utf-8", "caf\xe9"]) assert.equal(isHeaderValue(value), true);
  for (const target of ["", "a", "http://b/", "/a b", "/a\r\nb", "/a#b", "*", "/\xe9"]) {
    assert.equal(isTarget(target), false);
  }
  for (const target of ["/", "//b", "/../x", "/%2e%2e/%0d%0a", "/a?b=[c]|{d}"]) assert.equal(isTarget(target), true);
});

Deno.test("tunnel - hop-by-hop headers go, and those that Connection names", () => {
  const kept = endToEnd([
    ["connection", "close, X-Secret"],
    ["x-secret", "1"],
    ["transfer-encoding", "chunked"],
    ["set-cookie", "a=1"],
    ["set-cookie", "b=2"],
  ]);
  assert.deepEqual(kept, [["set-cookie", "a=1"], ["set-cookie", "b=2"]]);
});

Deno.test("tunnel - close codes that applications may not send are moved into their range", () => {
  assert.deepEqual([1000, 1001, 1005, 1011, 3001, 4999, 0, 5000].map(closeCodeOf), [
    1000,
    4001,
    1000,
    4011,
    3001,
    4999,
    4000,
    4000,
  ]);
});
