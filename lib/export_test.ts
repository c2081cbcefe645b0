import assert from "node:assert/strict";
import fc from "fast-check";
import { type Entry, type EntryBodies, type EntryKind, initialMeta, type SessionInfo } from "@/protocol/mod.ts";
import { Peer, register, startHub, textEvent } from "@/lib/gateway/testing.ts";
import { createLog } from "@/lib/log.ts";
import { exportName, exportSession } from "./export.ts";
import { closeFences, fenced, markdownEntry, unifiedDiff } from "./export_markdown.ts";
import { Retention } from "./retention.ts";
import { defaultRetention } from "./retention_policy.ts";

function entryOf<K extends EntryKind>(kind: K, body: EntryBodies[K], head: Partial<Entry["head"]> = {}): Entry {
  return { id: "e", index: 0, seq: 1, kind, head: { status: "completed", startedAt: 0, textLength: 0, ...head }, body };
}

/** Reads lines as CommonMark does (spec §4.5): which of them are inside a code block, and which are not. */
function readBlocks(markdown: string): { inside: string[]; outside: string[] } {
  const inside: string[] = [];
  const outside: string[] = [];
  let fence = "";
  for (const line of markdown.split("\n")) {
    const marks = /^ {0,3}(`{3,}(?=[^`]*$)|~{3,})/.exec(line)?.[1] ?? "";
    if (fence === "") {
      if (marks === "") outside.push(line);
      else fence = marks;
    } else if (marks.startsWith(fence) && line.trim() === marks) fence = "";
    else inside.push(line);
  }
  return { inside, outside };
}

const tricky = fc.array(fc.constantFrom("`", "```", "~~~", "````", "\n", " ", "text", "#", "- ", "<b>", "$&"), {
  maxLength: 20,
})
  .map((parts) => parts.join(""));

Deno.test("no content gets out of its code block", () => {
  fc.assert(fc.property(tricky, (text) => {
    const { inside, outside } = readBlocks(`${fenced(text)}\n\nafter`);
    assert.equal(inside.join("\n"), text.replace(/\n$/, ""));
    assert.deepEqual(outside, ["", "after"]);
  }));
});

Deno.test("an unclosed block in a message does not swallow what follows", () => {
  fc.assert(fc.property(tricky, (text) => {
    assert.equal(readBlocks(`${closeFences(text)}\n## after`).outside.at(-1), "## after", JSON.stringify(text));
  }));
  assert.equal(closeFences("```js\nx"), "```js\nx\n```");
  assert.equal(closeFences("```js\nx\n```\n"), "```js\nx\n```\n");
});

Deno.test("tool calls show input, output, diffs and how they ended", () => {
  const text = markdownEntry(entryOf("tool_call", {
    toolCallId: "t",
    input: { command: "ls ``` -l" },
    output: "a\nb",
    outputCut: 12,
    content: [
      { type: "diff", path: "src/a.ts", oldText: "one\ntwo\n", newText: "one\n2\n" },
      { type: "image", mediaType: "image/png", data: "AAAA" },
    ],
    locations: [{ path: "src/a.ts", line: 3 }],
    exitCode: 1,
  }, { title: "Run\nls", status: "failed", startedAt: Date.UTC(2026, 0, 2) }));
  assert.match(text, /^### Tool: Run ls · 2026-01-02T00:00:00Z · failed\n/);
  assert.match(text, /`src\/a\.ts:3`/);
  assert.match(text, /````json\n\{\n {2}"command": "ls ``` -l"\n\}\n````/);
  assert.match(text, /Output \(12 characters were cut\):\n\n```\na\nb\n```/);
  assert.match(text, /```diff\n--- a\/src\/a\.ts\n\+\+\+ b\/src\/a\.ts\n@@ -1,2 \+1,2 @@\n one\n-two\n\+2\n```/);
  assert.match(text, /An image \(image\/png, 1 KiB\) is not part/);
  assert.match(text, /Exit code: 1/);
});

Deno.test("permissions show who chose what; prompts who asked; strange bodies are shown as they are", () => {
  const options = [{ optionId: "y", name: "Allow once", kind: "allow_once" as const }, {
    optionId: "n",
    name: "Reject",
  }];
  const asked = entryOf("interaction", { interaction: "permission", message: "rm -rf /?", options }, {
    title: "Delete",
  });
  assert.match(
    markdownEntry(asked),
    /^### Permission: Delete[^]*rm -rf \/\?[^]*- Allow once\n- Reject\n\nNot answered\./,
  );
  const answer = { outcome: "selected" as const, optionId: "n", by: "Ann", at: 1 };
  const body = { interaction: "permission" as const, options, answer };
  assert.match(markdownEntry(entryOf("interaction", body)), /Answer: \*\*Reject\*\* by Ann/);
  const said = entryOf("user_message", {
    text: "look",
    from: "Ann",
    delivery: "steer",
    attachments: [{ mediaType: "image/png", filename: "a.png", data: "AAAA" }],
  });
  assert.equal(markdownEntry(said), "## Ann, into the running turn\n\nlook\n\n- attached: a.png (image/png)\n\n");
  assert.match(
    markdownEntry({ ...said, body: { sealed: "x" } }),
    /### user message\n\n```json\n\{\n {2}"sealed": "x"\n\}\n```/,
  );
  assert.match(
    markdownEntry(entryOf("notice", { level: "error", text: "died", detail: "why" })),
    /^> \*\*Error:\*\* died\n\n```\nwhy\n```/,
  );
});

Deno.test("diffs of files that come, go, or differ beyond comparing", () => {
  assert.equal(unifiedDiff("a", null, "x\n"), "--- /dev/null\n+++ b/a\n@@ -0,0 +1,1 @@\n+x\n");
  assert.match(unifiedDiff("a", "x\n", null), /^--- a\/a\n\+\+\+ \/dev\/null\n/);
  const lines = (mark: string) => Array.from({ length: 6_000 }, (_, n) => `${mark}${n}\n`).join("");
  const large = unifiedDiff("a", lines("old"), lines("new"));
  assert.equal(large.match(/^-old/gm)?.length, 6_000);
  assert.equal(large.match(/^\+new/gm)?.length, 6_000);
});

Deno.test("file names hold only what is safe in a header and on every disk", () => {
  fc.assert(fc.property(fc.string(), fc.string(), (title, sessionId) => {
    const name = exportName({ sessionId, sessionName: null, cwd: "/" }, { title }, "markdown");
    assert.match(name, /^[a-z0-9-]*[A-Za-z0-9]*\.md$/);
  }));
  const session = { sessionId: "3f2a-77c1-ab", sessionName: null, cwd: "/home/me/Grüße" };
  assert.equal(exportName(session, { title: 'Fix "the" bug\r\n../x' }, "jsonl"), "fix-the-bug-x-3f2a77c1.jsonl");
  assert.equal(exportName(session, { title: null }, "markdown"), "gru-e-3f2a77c1.md");
});

Deno.test("an export holds what the hub trimmed while the host is there, and says what it lacks when it is not", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  await using host = await Peer.open(hub, "relay", "ann");
  host.send(register("s"));
  const { epoch } = await host.next("registered");
  const events = Array.from({ length: 330 }, (_, n) => textEvent("s", epoch, n + 1, `text ${n}`));
  host.send(...events);
  await host.next("event_ack", ({ seq }) => seq === 330);
  await using retention = new Retention({
    kv,
    store: hub.store,
    mesh: hub.hub.mesh,
    log: createLog("error", {}),
    limits: { ...defaultRetention, sessionBytes: 1_000 },
  });
  await retention.sweep();
  const context = hub.hub.gateways.context;
  const session = await hub.store.sessions.info("ann", "s") as SessionInfo;
  const answering = (async () => {
    for (let asked = 0; asked < 8; asked++) {
      const { requestId, sessionId, before, limit } = await host.next("load_history");
      const entries = events.slice(before - limit, before).map(({ seq, entry }) => ({ ...entry!, seq }));
      host.send({ type: "history_page", requestId, sessionId, entries, hasMore: before > limit });
    }
  })();
  const whole = await exportSession(context, session, "jsonl");
  assert.equal(whole.headers.get("content-disposition"), 'attachment; filename="work-s.jsonl"');
  const lines = (await whole.text()).trimEnd().split("\n").map((line) => JSON.parse(line));
  await answering;
  assert.deepEqual([lines[0].type, lines[0].session.sessionId, lines[0].meta.title], [
    "session",
    "s",
    initialMeta().title,
  ]);
  assert.deepEqual(lines.slice(1), events.map(({ entry }) => entry));

  host.socket.close();
  await host.closed;
  await using viewer = await Peer.open(hub, "viewer", "ann");
  viewer.send({ type: "switch_session", sessionId: "s", generation: 1 });
  if ((await viewer.next("connected")).info.isActive) {
    await viewer.next("session_status", ({ session }) => !session.isActive);
  }
  const partial = (await (await exportSession(context, session, "jsonl")).text()).trimEnd().split("\n").map((line) =>
    JSON.parse(line)
  );
  const missing = { type: "missing", from: 0, to: 229, reason: "older entries are on the runner (offline)" };
  assert.deepEqual([partial[0].missing, partial[1]], [missing, missing]);
  assert.deepEqual(partial.slice(2), events.slice(230).map(({ entry }) => entry));
  const markdown = await (await exportSession(context, session, "markdown")).text();
  assert.match(markdown, /^# \/work\n\n- Agent: Demo\n/);
  assert.match(
    markdown,
    /> \*\*Entries 1 to 230 are not in this export:\*\* older entries are on the runner \(offline\)\n/,
  );
  assert.match(markdown, /## Agent[^\n]*\n\ntext 329\n/);
});
