import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { Entry, limits, type WireEntry } from "@/protocol/mod.ts";
import { sessionDirAt } from "./data_dir.ts";
import { historyPage } from "./history.ts";
import { HistoryReader } from "./history_reader.ts";
import { Journal } from "./journal.ts";
import type { EntryRef } from "./journal_index.ts";

function entryOf(index: number, text: string): WireEntry {
  const head = { status: "completed" as const, startedAt: 1, textLength: text.length };
  return { id: `e${index}`, index, kind: "agent_message", head, body: { text } };
}

Deno.test("paging back from anywhere gives every entry once, in order; what is damaged is said in its place", () => {
  fc.assert(fc.property(
    fc.array(
      fc.record({ bytes: fc.integer({ min: 10, max: limits.pageBytes }), isLost: fc.boolean(), isBad: fc.boolean() }),
    ),
    fc.integer({ min: 1, max: limits.pageEntries }),
    (made, limit) => {
      const refs: EntryRef[] = made.flatMap(({ bytes, isLost }, index) =>
        isLost ? [] : [{
          id: `e${index}`,
          index,
          kind: "agent_message",
          status: "completed",
          seq: index + 1,
          span: { offset: 0, bytes },
        }]
      );
      const read = (ref: EntryRef) => {
        if (made[ref.index]!.isBad) throw new Error("damaged");
        return entryOf(ref.index, "text");
      };
      const all: Entry[] = [];
      for (let before = made.length, hasMore = true; hasMore;) {
        const page = historyPage(refs, read, before, limit);
        assert.ok(page.entries.length > 0 || !page.hasMore);
        assert.ok(page.entries.length <= limit);
        all.unshift(...page.entries);
        before = page.entries[0]?.index ?? 0;
        hasMore = page.hasMore;
      }
      const lowest = made.findIndex(({ isLost }) => !isLost);
      const expected = lowest < 0 ? [] : made.slice(lowest).map((_, at) => at + lowest);
      assert.deepEqual(all.map(({ index }) => index), expected);
      for (const entry of all) {
        Entry.parse(entry);
        const { isLost, isBad } = made[entry.index]!;
        assert.equal(entry.kind, isLost || isBad ? "notice" : "agent_message");
      }
    },
  ));
});

Deno.test("a journal is read for its pages while its host writes and compacts it", async () => {
  const path = await Deno.makeTempDir();
  const dir = sessionDirAt(path);
  try {
    await using journal = Journal.open(join(path, "journal"));
    using reader = new HistoryReader();
    for (let index = 0; index < 250; index++) journal.appendRecord({ entry: entryOf(index, `first ${index}`) });
    assert.deepEqual(
      (await reader.page(dir, 100, 100)).entries.map(({ body }) => (body as { text: string }).text),
      Array.from({ length: 100 }, (_, index) => `first ${index}`),
    );
    journal.appendRecord({ entry: entryOf(3, "changed") });
    assert.deepEqual((await reader.page(dir, 4, 1)).entries[0]?.body, { text: "changed" });
    journal.acked(journal.index.lastSeq);
    journal.compact();
    const page = await reader.page(dir, 4, 2);
    assert.deepEqual(page.entries.map(({ body }) => body), [{ text: "first 2" }, { text: "changed" }]);
    assert.deepEqual(page, journal.history(4, 2));
    assert.equal(page.hasMore, true);
  } finally {
    await Deno.remove(path, { recursive: true });
  }
});
