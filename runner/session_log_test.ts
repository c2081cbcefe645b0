import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { limits } from "@/protocol/mod.ts";
import type { EntryDraft } from "./agents/agent.ts";
import { Journal } from "./journal.ts";
import { streamText } from "./journal_index.ts";
import { RelayLink } from "./relay_link.ts";
import { SessionLog } from "./session_log.ts";
import { TestHub } from "./testing/test_hub.ts";

function draft(
  id: string,
  text: string,
  status: "running" | "completed" = "running",
): EntryDraft<"agent_message"> {
  return { id, kind: "agent_message", head: { status, startedAt: 1 }, body: { text } };
}

function linkTo(hub: TestHub, log: SessionLog): RelayLink {
  return new RelayLink({
    sessionId: "s1",
    log,
    describe: () => ({
      runnerId: "r1",
      cwd: "/w",
      sessionName: null,
      agent: { id: "demo", name: "Demo" },
      startedAt: 1,
    }),
    target: () => ({ hubUrl: hub.url, apiKey: "test-key" }),
    write: () => {},
    backoff: { firstMs: 1, maxMs: 5 },
  });
}

Deno.test("everything arrives once and in order over connections that break at random, and over crashes of the host", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), async (seed) => {
      const random = randomOf(seed);
      const directory = Deno.makeTempDirSync({ prefix: "perch-log-" });
      await using hub = new TestHub({
        dropBefore: () => random() < 0.05,
        dropAfter: () => random() < 0.05,
      });
      let journal = Journal.open(join(directory, "journal"), { compactMinBytes: 2_000 });
      let log = new SessionLog({ sessionId: "s1", journal, window: { maxRecords: 8, maxBytes: 4_000 } });
      let link = linkTo(hub, log);
      link.connect();
      const texts = new Map<string, string>();
      for (let step = 0; step < 250; step++) {
        const id = `e${Math.floor(random() * 6) + Math.floor(step / 50) * 6}`;
        const isOpen = log.openEntryIds().includes(id);
        const dice = random();
        if (isOpen && dice < 0.6) {
          const text = `t${step} `;
          log.append(id, text);
          texts.set(id, texts.get(id) + text);
        } else if (isOpen || !texts.has(id)) {
          texts.set(id, texts.get(id) ?? "");
          log.upsert(draft(id, texts.get(id) as string, dice < 0.75 ? "completed" : "running"));
        } else log.patchMeta({ title: `title ${step}` });
        if (random() < 0.3) await new Promise((resolve) => setTimeout(resolve, 0));
        if (random() < 0.01) {
          // The host dies: its socket breaks, nothing is tidied up but what the kernel tidies up.
          link.close();
          await log.close();
          journal = Journal.open(join(directory, "journal"), { compactMinBytes: 2_000 });
          log = new SessionLog({ sessionId: "s1", journal, window: { maxRecords: 8, maxBytes: 4_000 } });
          link = linkTo(hub, log);
          link.connect();
        }
      }
      await hub.until(
        () => hub.session("s1").acked === log.lastSeq && matches(hub, texts),
        "the hub to have everything",
      );
      const session = hub.session("s1");
      assert.equal(session.seq, log.lastSeq);
      assert.deepEqual(session.meta, log.meta());
      assert.equal(session.restarts, 0);
      link.close();
      await log.close();
      Deno.removeSync(directory, { recursive: true });
    }),
    { numRuns: 8 },
  );
});

function matches(hub: TestHub, texts: Map<string, string>): boolean {
  return JSON.stringify(hub.session("s1").texts()) === JSON.stringify([...texts]);
}

function randomOf(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

async function withLog(test: (log: SessionLog, hub: TestHub, link: RelayLink) => Promise<void>): Promise<void> {
  const directory = Deno.makeTempDirSync({ prefix: "perch-log-" });
  try {
    await using hub = new TestHub();
    await using log = new SessionLog({ sessionId: "s1", journal: Journal.open(join(directory, "journal")) });
    using link = linkTo(hub, log);
    await test(log, hub, link);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

Deno.test("a hub that knows more than the journal gets a new log, complete", async () => {
  await withLog(async (log, hub, link) => {
    log.upsert(draft("a", "one", "completed"));
    log.upsert(draft("b", "two"));
    log.append("b", " more");
    const session = hub.session("s1");
    session.logId = log.journal.index.logId;
    session.seq = session.acked = 40;
    link.connect();
    await hub.until(() => session.restarts === 1 && session.acked === 2, "the restart");
    assert.deepEqual(session.texts(), [["a", "one"], ["b", "two more"]]);
    assert.equal(session.seq, 2);
  });
});

Deno.test("deltas are split at their limit, and a late registration brings the text so far", async () => {
  await withLog(async (log, hub, link) => {
    log.upsert(draft("a", ""));
    const long = "x".repeat(limits.deltaChars + 10);
    log.append("a", long);
    link.connect();
    await hub.until(() => hub.session("s1").texts()[0]?.[1] === long, "the long text");
    log.append("a", "end");
    await hub.until(() => hub.session("s1").texts()[0]?.[1] === `${long}end`, "the delta");
    assert.equal(hub.session("s1").seq, 1, "deltas take no seq");
  });
});

Deno.test("tool output and messages that outgrow their bounds are cut, say so, and go on growing", async () => {
  await withLog(async (log, hub, link) => {
    link.connect();
    log.upsert({
      id: "t",
      kind: "tool_call",
      head: { status: "running", startedAt: 1 },
      body: { toolCallId: "t", output: "", content: [], locations: [] },
    });
    log.upsert(draft("m", ""));
    for (let i = 0; i < 40; i++) {
      log.append("t", `${i} `.padEnd(32 * 1024, "."));
      log.append("m", `${i} `.padEnd(32 * 1024, "."));
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    const tool = log.entry<"tool_call">("t");
    assert.ok(tool && tool.body.output.length <= limits.toolOutputChars);
    assert.ok(tool.body.output.startsWith("0 .") && tool.body.output.includes("39 ."));
    assert.match(tool.body.output, /\[\d+ characters cut\]/);
    assert.ok((tool.body.outputCut ?? 0) > 900_000);
    assert.match(log.entry<"agent_message">("m")?.body.text ?? "", /characters cut/);
    await hub.until(() => hub.session("s1").texts()[0]?.[1] === tool.body.output, "the hub to see the same");
    const message = log.entry<"agent_message">("m")?.body.text;
    await hub.until(() => hub.session("s1").texts()[1]?.[1] === message, "the message too");
  });
});

Deno.test("an entry over the size limit is cut to fit, with a marker", async () => {
  await withLog((log) => {
    log.upsert({
      id: "t",
      kind: "tool_call",
      head: { status: "completed", startedAt: 1 },
      body: {
        toolCallId: "t",
        output: "",
        content: [{ type: "diff", path: "/big", oldText: null, newText: "é".repeat(5_000_000) }],
        locations: [],
      },
    });
    const entry = log.journal.entry("t");
    assert.ok(new TextEncoder().encode(JSON.stringify(entry)).length <= limits.entryBytes);
    assert.match(JSON.stringify(entry), /characters cut/);
    return Promise.resolve();
  });
});

Deno.test("what the hub would refuse never gets into the journal", async () => {
  const directory = Deno.makeTempDirSync({ prefix: "perch-log-" });
  const warnings: string[] = [];
  await using hub = new TestHub();
  await using log = new SessionLog({
    sessionId: "s1",
    journal: Journal.open(join(directory, "journal")),
    warn: (message) => warnings.push(message),
  });
  using link = linkTo(hub, log);
  log.patchMeta({
    preview: "kept",
    model: { provider: "p", id: "" },
    thinkingLevel: { current: "x", levels: Array(17).fill("l") },
    commands: Array.from({ length: 600 }, (_, i) => ({ name: `c${i}`, description: "d".repeat(2_000) })),
  });
  assert.equal(warnings.length, 3);
  assert.match(warnings[0] ?? "", /^meta model\.id: /);
  assert.match(warnings[1] ?? "", /^meta thinkingLevel\.levels: /);
  assert.match(warnings[2] ?? "", /^meta commands: \d+ bytes are over/);
  const head = {
    status: "completed" as const,
    startedAt: NaN,
    endedAt: 12.7,
    title: "t".repeat(600),
    toolKind: "k".repeat(40),
  };
  log.upsert({ ...draft("a", "x"), head });
  assert.throws(() => log.upsert(draft("no spaces", "x")), /entry id "no spaces" must hold only/);
  link.connect();
  await hub.until(() => hub.session("s1").acked === 2, "both records");
  const sent = hub.session("s1").entries.get("a")?.head;
  assert.deepEqual([sent?.startedAt, sent?.endedAt, sent?.title?.length, sent?.toolKind?.length], [0, 12, 512, 32]);
  assert.equal(hub.session("s1").meta.preview, "kept");
  Deno.removeSync(directory, { recursive: true });
});

Deno.test("appending to what is closed, unknown or does not stream is refused by name", async () => {
  await withLog((log) => {
    log.upsert(draft("a", "x", "completed"));
    assert.throws(() => log.append("a", "y"), /entry a: it is completed, of kind agent_message/);
    assert.throws(() => log.append("zz", "y"), /entry zz: there is no such entry/);
    assert.throws(
      () => log.upsert({ ...draft("a", "x"), kind: "thought" }),
      /is of kind agent_message and cannot become thought/,
    );
    assert.equal(streamText(log.journal.entry("a") as never), "x");
    return Promise.resolve();
  });
});
