/** The compiled program: that it can be made, and that what re-executes itself does so when it is compiled. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { PERCH_VERSION } from "@/protocol/mod.ts";
import { root, startHub } from "../tests/support/hub.ts";
import { startRunner } from "../tests/support/runner.ts";
import { ScriptedViewer } from "../tests/support/viewer.ts";
import { compileArgs, exitCodes } from "./compile.ts";

async function run(program: string, args: string[], env: Record<string, string> = {}) {
  const output = await new Deno.Command(program, { args, cwd: root, env: { NO_COLOR: "1", ...env }, stdin: "null" })
    .output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code: output.code, stdout: text(output.stdout), stderr: text(output.stderr) };
}

/** `perch --version`, `perch agents`, and a runner whose supervisor, daemon, host and demo agent are all this program. */
async function assertWorks(program: string, env: Record<string, string> = {}): Promise<void> {
  const version = await run(program, ["--version"], env);
  assert.equal(version.stdout.trim(), `perch ${PERCH_VERSION}`, version.stderr);
  const agents = await run(program, ["agents"], env);
  assert.equal(agents.code, 0, agents.stderr);
  assert.match(agents.stdout, /demo/i);

  await using hub = await startHub();
  await using runner = await startRunner(hub, { command: [program], env: { PERCH_DEMO_TOKEN_MS: "0", ...env } });
  const sessionId = await runner.startSession({ agentId: "demo" }, "hello");
  await using viewer = new ScriptedViewer(hub, sessionId);
  const pending = () =>
    viewer.shown().find(({ kind, head }) =>
      kind === "interaction" && (head as { status: string }).status === "pending"
    );
  await viewer.until(() => pending() !== undefined, "the demo agent's question");
  const { options } = pending()!.body as { options: { optionId: string; kind?: string }[] };
  const { optionId } = options.find(({ kind }) => kind === "allow_once")!;
  const answer = { kind: "answer", entryId: pending()!.id, outcome: "selected", optionId } as const;
  assert.equal((await viewer.command(answer)).status, "applied");
  await viewer.until(() => viewer.timeline.meta.activity === "idle", "the end of the demo's turn");
  const files = [...Deno.readDirSync(runner.work)].filter(({ isFile }) => isFile);
  assert.equal(files.length, 1, "the demo agent wrote its file");
}

Deno.test("deno task compile makes a program that runs and re-executes itself", async () => {
  const folder = await Deno.makeTempDir({ prefix: "perch-compile-" });
  try {
    const output = join(folder, "perch");
    const made = await run(Deno.execPath(), ["run", "-A", "bench/compile.ts", "--output", output]);
    if (made.code === exitCodes.noBase) {
      console.log(`LEFT OUT: running the compiled program, because ${made.stderr.trim().split("\n").at(-1)}`);
      return;
    }
    assert.equal(made.code, 0, made.stderr);
    await assertWorks(output);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("everything that the program needs can be put into it, and nothing else is", async () => {
  // deno itself stands in for the base binary: what goes into the program does not depend on it. The result cannot run.
  const folder = await Deno.makeTempDir({ prefix: "perch-compile-" });
  try {
    const made = await run(Deno.execPath(), compileArgs(join(folder, "perch")), { DENORT_BIN: Deno.execPath() });
    assert.equal(made.code, 0, made.stderr);
    for (const file of ["main.ts", "supervisor.ts", "daemon.ts", "host_main.ts"]) {
      assert.match(made.stderr, new RegExp(file));
    }
    assert.match(made.stderr, /zod/);
    assert.match(made.stderr, /@agentclientprotocol/);
    assert.match(made.stderr, /node-pty-/);
    assert.doesNotMatch(made.stderr, /playwright|chromium|esbuild|better-auth|preact|_test\.ts/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("an unusable base binary is named, with what to do", async () => {
  const output = join(root, "dist", "never-made");
  const compile = (denort: string) =>
    run(Deno.execPath(), ["run", "-A", "bench/compile.ts", "--output", output], { DENORT_BIN: denort });
  const missing = await compile("/nowhere/denort");
  assert.equal(missing.code, exitCodes.noBase);
  assert.match(missing.stderr, /"\/nowhere\/denort" cannot be used/);
  const deno = await compile(Deno.execPath());
  assert.equal(deno.code, exitCodes.noBase);
  assert.match(deno.stderr, /is the deno command itself/);
});

Deno.test("the compiled case of re-execution, from source: supervisor, daemon, host and demo agent", async () => {
  const folder = await Deno.makeTempDir({ prefix: "perch-stand-in-" });
  try {
    const program = join(folder, "perch");
    const args = ["run", "-A", "--quiet", "--no-check", "--config", join(root, "deno.json"), "--preload"];
    const files = [join(root, "bench/testdata/standalone.ts"), join(root, "runner/main.ts")];
    const quoted = [Deno.execPath(), ...args, ...files].map((word) => `'${word}'`).join(" ");
    await Deno.writeTextFile(program, `#!/bin/sh\nexec ${quoted} "$@"\n`, { mode: 0o755 });
    await assertWorks(program, { PERCH_STAND_IN: program });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
