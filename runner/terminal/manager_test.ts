import assert from "node:assert/strict";
import { terminalLimits } from "@/protocol/terminal.ts";
import { TerminalManager } from "./manager.ts";

Deno.test("sessions in a terminal count among a runner's terminals", async () => {
  const path = await Deno.makeTempDir();
  const sessionIds = Array.from({ length: terminalLimits.terminals }, (_, at) => `session-${at}`);
  using terminals = new TerminalManager({
    roots: [await Deno.realPath(path)],
    env: {},
    terminalCommand: { program: "/no/such/program", args: [] },
    write: () => {},
    sessionIds: () => sessionIds,
    sessionSocket: () => null,
  });
  const create = () => terminals.request({ requestId: "r", order: { do: "create", terminal: { cwd: path } } });
  const refused = await create();
  assert.deepEqual([refused.ok, refused.code], [false, "conflict"]);
  assert.match(refused.error ?? "", /32 terminals already, sessions in a terminal included; close one first/);
  assert.throws(() => terminals.checkRoom(), /32 terminals already/);
  sessionIds.pop();
  terminals.checkRoom();
  // There is room, and the next thing goes wrong.
  assert.doesNotMatch((await create()).error ?? "", /already/);
});
