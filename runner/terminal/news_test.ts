import assert from "node:assert/strict";
import type { RunnerTerminals } from "@/protocol/mod.ts";
import type { TerminalInfo } from "@/protocol/terminal.ts";
import { Changes } from "@/tests/support/patience.ts";
import { TerminalNews } from "./news.ts";

const plain: TerminalInfo = {
  terminalId: "t1",
  name: "",
  title: "",
  cwd: "/",
  command: ["/bin/sh"],
  sessionId: null,
  status: { state: "running" },
  createdAt: 1,
  viewerCount: 0,
  attention: null,
  cols: 80,
  rows: 24,
};

Deno.test("attention, ends and titles of terminals are told; who looks at them, and their size, are not", async () => {
  let infos: TerminalInfo[] = [];
  const told: RunnerTerminals[] = [];
  const changes = new Changes();
  using news = new TerminalNews(() => infos, () => {
    told.push(news.now);
    changes.notify();
  }, { now: () => 5 });
  assert.deepEqual(news.now, { count: 0, attention: [], changedAt: 5 });
  const next = async (terminal: Partial<TerminalInfo>) => {
    infos = [{ ...plain, ...terminal }];
    const before = told.length;
    news.changed();
    await changes.until(() => told.length > before, "the news");
    assert.equal(told.length, before + 1);
    return told.at(-1)!;
  };
  assert.deepEqual(await next({}), { count: 1, attention: [], changedAt: 6 });
  infos = [{ ...plain, viewerCount: 3, cols: 100 }];
  news.changed();
  // Had that been told, it would be another piece of news before this one.
  const asking = await next({ attention: { text: "y".repeat(500), at: 9 } });
  assert.deepEqual(asking, {
    count: 1,
    attention: [{ terminalId: "t1", name: "sh", text: "y".repeat(200), at: 9 }],
    changedAt: 7,
  });
  assert.deepEqual((await next({ title: "vim", attention: null })).attention, []);
  const ended: TerminalInfo["status"] = { state: "exited", code: 1, signal: null, at: 3 };
  assert.equal((await next({ title: "vim", status: ended })).changedAt, 9);
});
