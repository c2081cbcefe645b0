import assert from "node:assert/strict";
import { AcpTerminals, maxTerminals } from "./acp_terminals.ts";
import { objectOf } from "./read.ts";

async function withTerminals(
  work: (
    call: (method: string, params: unknown) => Promise<Record<string, unknown>>,
    printed: string[],
  ) => Promise<void>,
): Promise<void> {
  const cwd = await Deno.realPath(await Deno.makeTempDir());
  const printed: string[] = [];
  const terminals = new AcpTerminals(cwd, { PATH: Deno.env.get("PATH") ?? "" }, (_id, text) => printed.push(text));
  const requests = terminals.requests();
  // As the connection does: what throws becomes a rejection.
  const call = async (method: string, params: unknown) => objectOf(await requests[method]?.(params));
  try {
    await work(call, printed);
  } finally {
    terminals.dispose();
    await Deno.remove(cwd, { recursive: true });
  }
}

Deno.test("a command's output and exit, its environment, and its bound", async () => {
  await withTerminals(async (call, printed) => {
    const { terminalId } = await call("terminal/create", {
      command: "sh",
      args: ["-c", "echo $WHO; echo err >&2; exit 3"],
      env: [{ name: "WHO", value: "ann" }],
    });
    assert.deepEqual(await call("terminal/wait_for_exit", { terminalId }), { exitCode: 3, signal: null });
    const output = await call("terminal/output", { terminalId });
    assert.deepEqual(String(output.output).split("\n").sort(), ["", "ann", "err"]);
    assert.deepEqual([output.truncated, output.exitStatus], [false, { exitCode: 3, signal: null }]);
    assert.equal(printed.join("").length, 8);
    const long = await call("terminal/create", { command: "seq", args: ["1", "1000"], outputByteLimit: 9 });
    await call("terminal/wait_for_exit", { terminalId: long.terminalId });
    assert.deepEqual(await call("terminal/output", { terminalId: long.terminalId }), {
      output: "999\n1000\n",
      truncated: true,
      exitStatus: { exitCode: 0, signal: null },
    });
  });
});

Deno.test("kill, release, and refusals", async () => {
  await withTerminals(async (call) => {
    const { terminalId } = await call("terminal/create", { command: "sleep", args: ["60"] });
    const exit = call("terminal/wait_for_exit", { terminalId });
    await call("terminal/kill", { terminalId });
    assert.deepEqual(await exit, { exitCode: null, signal: "SIGKILL" });
    await call("terminal/release", { terminalId });
    await assert.rejects(call("terminal/output", { terminalId }), /no terminal/);
    await assert.rejects(call("terminal/create", { command: "ls", cwd: "/" }), /outside the session's folder/);
    await assert.rejects(call("terminal/create", { command: "" }), /non-empty/);
    await assert.rejects(call("terminal/create", { command: "/no/such/program" }), /could not be started/);
    const made: unknown[] = [];
    for (let count = 0; count < maxTerminals; count++) {
      made.push((await call("terminal/create", { command: "true" })).terminalId);
    }
    await assert.rejects(call("terminal/create", { command: "true" }), /32 terminals are open/);
    for (const id of made) await call("terminal/wait_for_exit", { terminalId: id });
  });
});
