import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import type { WireEntry } from "@/protocol/mod.ts";
import { Journal, loadJournal } from "./journal.ts";
import { streamText } from "./journal_index.ts";
import { encodeLine, type JournalLine, lineJson } from "./journal_line.ts";

function tempDir(): { path: string } & Disposable {
  const path = Deno.makeTempDirSync({ prefix: "perch-journal-" });
  return { path, [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }) };
}

function message(id: string, index: number, status: "running" | "completed", text: string): WireEntry {
  return {
    id,
    index,
    kind: "agent_message",
    head: { status, startedAt: 1, textLength: text.length },
    body: { text },
  };
}

/** Everything that a journal says, in a form that can be compared. */
function contents(journal: Journal): unknown {
  const { index } = journal;
  return {
    logId: index.logId,
    lastSeq: index.lastSeq,
    entries: index.timeline().map((ref) => ({ seq: ref.seq, entry: journal.entry(ref.id) })),
    meta: index.meta,
    ops: [...index.ops],
    facts: [...index.facts],
    queue: [...index.queue.values()],
    acked: index.ackedSeq,
    unacked: [...index.records.keys()].sort((a, b) => a - b).map((seq) => journal.recordJson(seq)),
  };
}

async function smallJournal(path: string): Promise<{ bytes: Uint8Array; logId: string }> {
  const journal = Journal.open(path);
  journal.appendRecord({ entry: message("a", 0, "running", "") });
  journal.append({ t: "text", entryId: "a", at: 0, text: "hé 🦜" });
  journal.append({ t: "op", op: "op-1", status: "applied" });
  journal.appendRecord({ meta: { title: "one" } });
  journal.append({ t: "text", entryId: "a", at: 5, text: " there" });
  journal.appendRecord({ entry: message("a", 0, "completed", "hé 🦜 there") });
  journal.append({ t: "acked", seq: 1 });
  journal.append({ t: "fact", name: "resumeId", value: "r" });
  const { logId } = journal.index;
  await journal.close();
  return { bytes: Deno.readFileSync(path), logId };
}

Deno.test("a journal that is cut at any byte keeps every line before the cut, and can be written on", async () => {
  using dir = tempDir();
  const path = join(dir.path, "journal");
  const { bytes, logId } = await smallJournal(path);
  const lineEnds = [...bytes.keys()].filter((i) => bytes[i] === 0x0a).map((i) => i + 1);
  for (let length = 0; length <= bytes.length; length++) {
    const { index, keptBytes, tornBytes, damage } = loadJournal(bytes.subarray(0, length));
    assert.equal(keptBytes, lineEnds.filter((end) => end <= length).at(-1) ?? 0);
    assert.deepEqual([damage, tornBytes], [[], length - keptBytes]);
    if (keptBytes > 0) assert.equal(index.logId, logId);
  }
  for (const length of [3, lineEnds[0] as number, (lineEnds[1] as number) + 7, (lineEnds[5] as number) + 1]) {
    Deno.writeFileSync(path, bytes.subarray(0, length));
    let before: unknown;
    {
      await using journal = Journal.open(path);
      const lastSeq = journal.index.lastSeq;
      assert.equal(journal.appendRecord({ meta: { title: "after" } }), lastSeq + 1);
      before = contents(journal);
    }
    await using again = Journal.open(path);
    assert.deepEqual(again.damage, []);
    assert.deepEqual(contents(again), before);
  }
});

Deno.test("a damaged line in the middle is named and left out, the rest is kept", async () => {
  using dir = tempDir();
  const path = join(dir.path, "journal");
  const { bytes } = await smallJournal(path);
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const damaged = bytes.slice();
      damaged[at] = (damaged[at] as number) ^ flip;
      const { index, damage, tornBytes } = loadJournal(damaged);
      assert.ok(damage.length + tornBytes > 0, "every flipped byte is noticed");
      // Whatever was hit, text is never made up: it is a beginning of what was written, or the last record's.
      const open = index.open.get("a");
      if (open) assert.ok("hé 🦜 there".startsWith(streamText(open.entry)));
      assert.ok(index.lastSeq <= 3);
    }),
    { numRuns: 300 },
  );
  const lines = new TextDecoder().decode(bytes).split("\n");
  const corrupt = lines.map((line, i) => i === 4 ? line.replace("one", "two") : line).join("\n");
  Deno.writeTextFileSync(path, corrupt);
  const warnings: string[] = [];
  await using journal = Journal.open(path, { warn: (text) => warnings.push(text) });
  assert.deepEqual(warnings, [`${path}: line 5 is damaged and was left out`]);
  assert.equal(journal.index.meta.title, null);
  assert.equal((journal.entry("a")?.body as { text: string }).text, "hé 🦜 there");
  assert.equal(journal.index.canResendAfter(1), false, "record 2 is missing");
  assert.equal(journal.index.canResendAfter(2), true);
});

Deno.test("a journal without its header begins a new log with what is left", async () => {
  using dir = tempDir();
  const path = join(dir.path, "journal");
  const { bytes, logId } = await smallJournal(path);
  Deno.writeFileSync(path, bytes.subarray(bytes.indexOf(0x0a) + 1));
  await using journal = Journal.open(path);
  assert.notEqual(journal.index.logId, logId);
  assert.equal(journal.index.lastSeq, 2);
  assert.equal(journal.index.ackedSeq, 0);
  assert.equal(journal.index.meta.title, "one");
  assert.equal((journal.entry("a")?.body as { text: string }).text, "hé 🦜 there");
});

type Step =
  | { do: "message"; entry: number; close: boolean; text: string }
  | { do: "text"; entry: number; text: string }
  | { do: "meta"; title: string }
  | { do: "op"; op: number }
  | { do: "ack"; back: number }
  | { do: "compact" }
  | { do: "reopen"; tornBytes: number }
  | { do: "restart" };

const text = fc.string({ unit: "grapheme", maxLength: 12 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("message"), entry: fc.nat(5), close: fc.boolean(), text }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("text"), entry: fc.nat(5), text }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("meta"), title: text }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("op"), op: fc.nat(3) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("ack"), back: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("compact") }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("reopen"), tornBytes: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart") }) },
) as fc.Arbitrary<Step>;

Deno.test("whatever is appended, compacted, restarted, torn and reopened, the journal equals a model", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      using dir = tempDir();
      const path = join(dir.path, "journal");
      let journal = Journal.open(path);
      const texts = new Map<string, { text: string; isOpen: boolean; index: number }>();
      let title: string | null = null;
      const ops = new Set<string>();
      let lastSeq = 0;
      for (const step of steps) {
        switch (step.do) {
          case "message": {
            const id = `e${step.entry}`;
            const index = texts.get(id)?.index ?? texts.size;
            texts.set(id, { text: step.text, isOpen: !step.close, index });
            journal.appendRecord({ entry: message(id, index, step.close ? "completed" : "running", step.text) });
            lastSeq++;
            break;
          }
          case "text": {
            const known = texts.get(`e${step.entry}`);
            if (!known?.isOpen) break;
            journal.append({ t: "text", entryId: `e${step.entry}`, at: known.text.length, text: step.text });
            known.text += step.text;
            break;
          }
          case "meta":
            title = step.title;
            journal.appendRecord({ meta: { title } });
            lastSeq++;
            break;
          case "op":
            ops.add(`op${step.op}`);
            journal.append({ t: "op", op: `op${step.op}`, status: "applied" });
            break;
          case "ack":
            journal.acked(Math.max(0, lastSeq - step.back));
            break;
          case "compact":
            journal.compact();
            break;
          case "restart":
            journal.restart();
            lastSeq = texts.size + (journal.index.metaSeq > 0 ? 1 : 0);
            break;
          case "reopen": {
            const before = contents(journal);
            await journal.close();
            const torn = encodeLine(lineJson({ t: "fact", name: "x", value: "y" } satisfies JournalLine));
            const file = Deno.openSync(path, { append: true });
            file.writeSync(torn.subarray(0, Math.min(step.tornBytes, torn.length - 1)));
            file.close();
            journal = Journal.open(path);
            assert.deepEqual(contents(journal), before);
            break;
          }
        }
        assert.equal(journal.index.lastSeq, lastSeq);
        assert.ok(journal.index.canResendAfter(journal.index.ackedSeq), "the wire gets every seq after the acked one");
      }
      const stand = [...texts].sort(([, a], [, b]) => a.index - b.index).map(([id, { text }]) => [id, text]);
      assert.deepEqual(
        journal.index.timeline().map((ref) => [ref.id, (journal.entry(ref.id)?.body as { text: string }).text]),
        stand,
      );
      assert.equal(journal.index.meta.title, title);
      assert.deepEqual(new Set(journal.index.ops.keys()), ops);
      await journal.close();
    }),
    { numRuns: 200 },
  );
});

Deno.test("a journal of rewritten entries is compacted once the hub has them, and stays the same", async () => {
  using dir = tempDir();
  const path = join(dir.path, "journal");
  await using journal = Journal.open(path, { compactMinBytes: 4_096 });
  let largest = 0;
  for (let i = 0; i < 200; i++) {
    const seq = journal.appendRecord({ entry: message("a", 0, "running", "x".repeat(200)) });
    largest = Math.max(largest, journal.bytes);
    journal.acked(seq);
  }
  assert.ok(largest < 12_000, `the file grew to ${largest} bytes`);
  assert.equal(journal.index.lastSeq, 200);
  assert.equal(streamText(journal.entry("a") as WireEntry).length, 200);

  // Streamed text is dead as soon as its entry has closed.
  for (let i = 1; i < 100; i++) {
    journal.appendRecord({ entry: message(`m${i % 3}`, 1 + i % 3, "running", "") });
    for (let at = 0; at < 200; at += 10) journal.append({ t: "text", entryId: `m${i % 3}`, at, text: "0123456789" });
    journal.acked(
      journal.appendRecord({ entry: message(`m${i % 3}`, 1 + i % 3, "completed", "0123456789".repeat(20)) }),
    );
    largest = Math.max(largest, journal.bytes);
  }
  assert.ok(largest < 24_000, `the file grew to ${largest} bytes`);
});
