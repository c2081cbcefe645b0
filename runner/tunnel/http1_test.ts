import assert from "node:assert/strict";
import fc from "fast-check";
import { Buffers } from "./buffers.ts";
import { AnswerReader, Http1Error, parseHead } from "./http1.ts";

/** Gives the bytes in pieces of these sizes, over and over. */
function readerOf(bytes: Uint8Array, sizes: readonly number[]): AnswerReader {
  let at = 0;
  let turn = 0;
  return new AnswerReader({
    read(buffer) {
      if (at >= bytes.byteLength) return Promise.resolve(null);
      const count = Math.min(sizes[turn++ % sizes.length]!, buffer.byteLength, bytes.byteLength - at);
      buffer.set(bytes.subarray(at, at + count));
      at += count;
      return Promise.resolve(count);
    },
  }, new Buffers());
}

async function read(reader: AnswerReader, method: string): Promise<{ status: number; body: string }> {
  const head = await reader.head(method);
  if (head === null) throw new Error("no head");
  const decoder = new TextDecoder();
  let body = "";
  for await (const piece of reader.body(head.body)) body += decoder.decode(piece, { stream: true });
  return { status: head.status, body };
}

const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 });

Deno.test("http1 - answers survive any cutting, one after another, whatever their framing", async () => {
  const text = fc.string({ maxLength: 60, unit: fc.constantFrom("a", "\r", "\n", "0", " ") });
  const answer = fc.oneof(
    text.map((body) => ({ body, wire: `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}` })),
    fc.array(text.filter((part) => part !== ""), { maxLength: 4 }).map((parts) => ({
      body: parts.join(""),
      wire: `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n` +
        parts.map((part) => `${part.length.toString(16)};x=1\r\n${part}\r\n`).join("") + "0\r\nX-Trailer: 1\r\n\r\n",
    })),
  );
  await fc.assert(fc.asyncProperty(fc.array(answer, { minLength: 1, maxLength: 4 }), sizes, async (answers, cuts) => {
    const reader = readerOf(new TextEncoder().encode(answers.map(({ wire }) => wire).join("")), cuts);
    for (const { body } of answers) assert.deepEqual(await read(reader, "GET"), { status: 200, body });
    assert.equal(await reader.head("GET"), null);
  }));
});

Deno.test("http1 - an answer cut short is never taken for a whole one", async () => {
  for (
    const wire of [
      "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ]
  ) {
    await assert.rejects(read(readerOf(new TextEncoder().encode(wire), [7]), "GET"), Http1Error);
  }
});

Deno.test("http1 - arbitrary bytes are an answer or a typed error", async () => {
  await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), sizes, async (bytes, cuts) => {
    const start = new TextEncoder().encode("HTTP/1.1 200 OK\r\n");
    for (const wire of [bytes, new Uint8Array([...start, ...bytes])]) {
      try {
        const reader = readerOf(wire, cuts);
        const head = await reader.head("GET");
        if (head !== null) { for await (const _ of reader.body(head.body)); }
      } catch (error) {
        assert.ok(error instanceof Http1Error, String(error));
      }
    }
  }));
});

Deno.test("http1 - two ways to read an answer are an error; answers without a body have none", () => {
  const hostile = [
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
    "HTTP/1.1 200 OK\r\n folded\r\n\r\n",
    "HTTP/2 200\r\n\r\n",
  ];
  for (const text of hostile) assert.throws(() => parseHead(text, "GET"), Http1Error, text);
  for (const status of [204, 304]) {
    assert.equal(parseHead(`HTTP/1.1 ${status} X\r\nContent-Length: 5\r\n\r\n`, "GET").body.kind, "none");
  }
  assert.equal(parseHead("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD").body.kind, "none");
  assert.equal(parseHead("HTTP/1.0 200 OK\r\n\r\n", "GET").body.kind, "until_close");
});
