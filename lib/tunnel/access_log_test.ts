import assert from "node:assert/strict";
import { serialize } from "node:v8";
import { AccessEntry, tunnelLimits } from "@/protocol/tunnel.ts";
import { AccessLog } from "./access_log.ts";

Deno.test("lines are kept in the order of their end, with what is under way for a second or longer after them", () => {
  const log = new AccessLog([]);
  assert.equal(log.take(0), null);
  const socket = log.begin("GET", "/socket", "owner", 0);
  const page = log.begin("GET", "/page?x=1", "Bob", 0);
  page.bytes += 5;
  log.end(page, 200, 12.4);
  const brief = log.take(500)!;
  assert.deepEqual(brief.map(({ path, status, bytes, ms, who }) => [path, status, bytes, ms, who]), [
    ["/page?x=1", 200, 5, 12, "Bob"],
  ]);
  assert.equal(log.take(999), null);
  assert.deepEqual(log.take(1_000)!.map(({ path, status, ms }) => [path, status, ms]), [
    ["/page?x=1", 200, 12],
    ["/socket", null, null],
  ]);
  assert.equal(log.take(9_000), null, "it was told already that it is under way");
  log.end(socket, 101, 10_000);
  log.end(socket, 101, 11_000);
  assert.deepEqual(log.take(10_000)!.map(({ path, status, ms }) => [path, status, ms]), [
    ["/page?x=1", 200, 12],
    ["/socket", 101, 10_000],
  ]);
});

Deno.test("a log goes on where an earlier one was taken; what was under way then is not", () => {
  const first = new AccessLog([]);
  first.begin("GET", "/open", "owner", 0);
  first.end(first.begin("GET", "/over", "owner", 0), 200, 1);
  const second = new AccessLog(first.take(5_000)!);
  second.end(second.begin("GET", "/next", "owner", 6_000), 200, 6_001);
  assert.deepEqual(second.take(6_001)!.map(({ path }) => path), ["/over", "/next"]);
});

Deno.test("whatever strangers send, the log is bounded, fits one KV value and can be read", () => {
  const log = new AccessLog([]);
  for (let at = 0; at < 1_000; at++) {
    const line = log.begin("M".repeat(5_000), `/${"ä\u{1f426}\n".repeat(5_000)}`, "\u{1f426}".repeat(500), at);
    line.bytes = Number.MAX_SAFE_INTEGER;
    if (at % 2 === 0) log.end(line, 999, at + 1e9);
  }
  const entries = log.take(1e9)!;
  assert.equal(entries.length, tunnelLimits.logEntries + tunnelLimits.logOpenEntries);
  for (const entry of entries) AccessEntry.parse(entry);
  const { byteLength } = serialize(entries);
  assert.ok(byteLength < 65_536, `${byteLength} bytes`);
});
