/** Any command as a session, through the real hub and runner: a program that prints, rings, notifies and reads. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { SessionInfo } from "@/protocol/mod.ts";
import type { TerminalInfo } from "@/protocol/terminal.ts";
import { NOTICES } from "@/runner/agents/notice_budget.ts";
import { type HubProcess, startHub } from "@/tests/support/hub.ts";
import { isAlive, killPid } from "@/tests/support/child.ts";
import { eventually } from "@/tests/support/patience.ts";
import { type RunnerProcess, startRunner } from "@/tests/support/runner.ts";
import { ScriptedViewer, type ShownEntry } from "@/tests/support/viewer.ts";
import { type ClientOptions, TerminalClient } from "./terminal_client.ts";

const script = `#!/bin/sh
printf '\\033]2;my agent\\007'
echo "pid=$$"
read first
printf 'heard <%s>\\n\\007' "$first"
read second
printf '\\033]9;needs a key\\007\\033]777;notify;Build;is done\\007'
read third
echo "bye <$third>"
exit 7
`;

async function infoOf(hub: HubProcess, sessionId: string): Promise<SessionInfo> {
  const { sessions } = await hub.api("GET", "/api/sessions");
  return sessions.find((session: SessionInfo) => session.sessionId === sessionId);
}

function notices(viewer: ScriptedViewer): string[] {
  return viewer.shown().filter(({ kind }) => kind === "notice").map(noticeText);
}

function noticeText({ body }: ShownEntry): string {
  return (body as { text: string }).text;
}

function prompt(text: string) {
  return { kind: "prompt", text, delivery: "prompt" } as const;
}

async function startScript(runner: RunnerProcess): Promise<string> {
  const path = join(runner.work, "agent script.sh");
  await Deno.writeTextFile(path, script, { mode: 0o755 });
  return await runner.startSession({ agentId: "terminal", command: [path, "--model", "x y"] });
}

async function lookAt(
  hub: HubProcess,
  runner: RunnerProcess,
  sessionId: string,
  options: ClientOptions = {},
): Promise<TerminalClient> {
  return await eventually(
    () => TerminalClient.open(hub, runner.runnerId, sessionId, options).catch(() => null),
    "the session's terminal",
  );
}

Deno.test("any command as a session in a terminal", async (t) => {
  await using hub = await startHub();
  await using runner = await startRunner(hub);

  await t.step("it asks for a person, hears prompts, and its exit code ends the session", async () => {
    const sessionId = await startScript(runner);
    await using viewer = new ScriptedViewer(hub, sessionId);
    await viewer.until(() => viewer.timeline.meta.title === "my agent", "the title");
    assert.equal((await infoOf(hub, sessionId)).agent.name, "agent script.sh");
    assert.equal((await viewer.command(prompt("hello\nworld"))).status, "applied");
    // Lines that are not bracketed are two lines; the bell comes after the first.
    await viewer.until(() => notices(viewer).includes("It rang the bell"), "the bell's notice");
    await viewer.until(() => notices(viewer).includes("needs a key"), "OSC 9");
    await viewer.until(() => notices(viewer).includes("Build: is done"), "OSC 777");
    await viewer.until(() => viewer.timeline.meta.attention === 1, "attention");
    assert.equal(viewer.timeline.meta.activity, "waiting");
    await eventually(async () => (await infoOf(hub, sessionId)).attention === 1, "attention in the list");
    assert.equal((await infoOf(hub, sessionId)).activity, "waiting");

    {
      await using terminal = await lookAt(hub, runner, sessionId);
      await terminal.shows("heard <hello>");
      terminal.look();
      await viewer.until(() => viewer.timeline.meta.attention === 0, "nothing to attend to once it is open");
      terminal.type("typed\r");
      await terminal.shows("bye <typed>");
      await viewer.until(() => viewer.timeline.meta.ended !== null, "the end");
      await terminal.until(() => terminal.closeCode !== null, "the terminal's end");
    }
    const { ended } = viewer.timeline.meta;
    assert.deepEqual([ended?.reason, ended?.detail], ["failed", "the program exited with code 7"]);
    const last = viewer.shown().at(-1)!;
    assert.equal(noticeText(last), "The program exited with code 7");
    assert.match((last.body as { detail: string }).detail, /heard <hello>[^]*bye <typed>/);
    const text = await (await fetch(`${hub.url}/api/sessions/${sessionId}/export?format=markdown`, {
      headers: { authorization: `Bearer ${hub.apiKey}` },
    })).text();
    assert.match(text, /needs a key[^]*exited with code 7/);

    await eventually(async () => (await infoOf(hub, sessionId)).isResumable, "a session that can be resumed");
    await hub.api("POST", `/api/sessions/${sessionId}/resume`);
    await viewer.until(() => viewer.timeline.meta.ended === null, "the next run");
    await using terminal = await lookAt(hub, runner, sessionId);
    await terminal.shows(/pid=\d+/);
    assert.doesNotMatch(terminal.text, /bye/);
    const listed = async (): Promise<TerminalInfo[]> =>
      (await hub.api("GET", `/api/terminals?runnerId=${runner.runnerId}`)).terminals;
    await eventually(async () => (await listed())[0]?.title === "my agent", "its terminal in the list");
    assert.deepEqual(
      (await listed()).map((one) => [one.terminalId, one.sessionId, one.status.state]),
      [[sessionId, sessionId, "running"]],
    );
    await hub.api("POST", `/api/terminals/${sessionId}/restart`, { runnerId: runner.runnerId });
    await viewer.until(() => notices(viewer).includes("Restarted"), "the restart");
    await assert.rejects(
      hub.api("DELETE", `/api/terminals/${sessionId}?runnerId=${runner.runnerId}`),
      /409.*end the session/,
    );
    await hub.api("POST", `/api/sessions/${sessionId}/kill`);
    await viewer.until(() => viewer.timeline.meta.ended?.reason === "closed", "the end by a person");
  });

  await t.step("what a program prints last reaches whoever looks, however soon it ends", async () => {
    // At once, so that everything on the way has more to do than it can.
    await Promise.all(Array.from({ length: 8 }, async (_, run) => {
      const sessionId = await runner.startSession({
        agentId: "terminal",
        command: ["/bin/sh", "-c", "echo ready; read word; seq 1 3000; echo last $word"],
      });
      await using terminal = await lookAt(hub, runner, sessionId);
      await terminal.shows("ready");
      terminal.type(`words${run}\r`);
      await terminal.shows(`last words${run}`);
      await terminal.until(() => terminal.closeCode !== null, "the terminal's end");
    }));
  });

  await t.step("cancel is Ctrl-C", async () => {
    const sessionId = await runner.startSession({
      agentId: "terminal",
      command: ["/bin/sh", "-c", "trap 'echo interrupted; exit 0' INT; echo ready; while :; do sleep 0.1; done"],
    });
    await using viewer = new ScriptedViewer(hub, sessionId);
    await using terminal = await lookAt(hub, runner, sessionId);
    await terminal.shows("ready");
    await viewer.command({ kind: "cancel" });
    await viewer.until(() => viewer.timeline.meta.ended !== null, "the end");
    assert.equal(viewer.timeline.meta.ended?.reason, "closed");
    assert.match((viewer.shown().at(-1)!.body as { detail: string }).detail, /interrupted/);
  });

  await t.step(
    "a prompt is pasted in brackets where the program asks for them; what it holds cannot end them",
    async () => {
      const sessionId = await runner.startSession({
        agentId: "terminal",
        command: ["/bin/sh", "-c", "stty -icanon; printf '\\033[?2004hready'; exec cat -v"],
      }, "two\nlines\x1b[201~");
      await using terminal = await lookAt(hub, runner, sessionId);
      await terminal.shows("^[[200~two");
      await terminal.shows("lines[201~^[[201~");
      await hub.api("POST", `/api/sessions/${sessionId}/kill`);
    },
  );

  await t.step("thousands of notifications become a few notices and a count", async () => {
    const sessionId = await runner.startSession({
      agentId: "terminal",
      command: ["awk", 'BEGIN { for (i = 1; i <= 5000; i++) printf "\\033]9;n%d\\007", i }'],
    });
    await using viewer = new ScriptedViewer(hub, sessionId);
    await viewer.until(() => viewer.timeline.meta.ended !== null, "the end");
    await viewer.live();
    const told = notices(viewer).filter((text) => /^n\d+$/.test(text));
    assert.deepEqual(told, Array.from({ length: NOTICES }, (_, at) => `n${at + 1}`));
    assert.ok(notices(viewer).includes(`${5_000 - NOTICES} more notifications were left out`));
  });

  await t.step(
    "100 MB pass to who reads, and a bounded part of it to who does not; strangers see nothing",
    async () => {
      const line = "0123456789".repeat(7);
      const flood = `read go; yes ${line} | head -n 1408451; echo the very last line; read end`;
      const sessionId = await runner.startSession({ agentId: "terminal", command: ["/bin/sh", "-c", flood] });
      await using stuck = await lookAt(hub, runner, sessionId, { isStuck: true });
      await using client = await lookAt(hub, runner, sessionId);
      const bob = await hub.invite("Bob");
      await using foreign = await TerminalClient.refused(hub, runner.runnerId, sessionId, { apiKey: bob.apiKey });
      assert.equal(foreign.errors[0]?.code, "not_found");
      client.type("go\r");
      await client.shows("the very last line");
      assert.ok(stuck.outputBytes <= 1.2e6, `${stuck.outputBytes}`);
      stuck.credit(stuck.outputBytes);
      await stuck.shows("the very last line");
      await hub.api("POST", `/api/sessions/${sessionId}/kill`);
      await client.until(() => client.closeCode !== null, "the end");
    },
  );

  await t.step("a program that cannot be started, and a command that is missing, are told", async () => {
    const sessionId = await runner.startSession({ agentId: "terminal", command: ["/no/such/program"] });
    await using viewer = new ScriptedViewer(hub, sessionId);
    await viewer.until(() => viewer.timeline.meta.ended !== null, "the end");
    assert.equal(viewer.timeline.meta.ended?.reason, "failed");
    await assert.rejects(runner.startSession({ agentId: "terminal" }), /400.*needs its command line/);
    await assert.rejects(runner.startSession({ agentId: "terminal", command: [] }), /400/);
  });

  await t.step("it outlives the daemon; a killed host ends it, program and viewers included", async () => {
    const sessionId = await startScript(runner);
    const before = await lookAt(hub, runner, sessionId);
    await before.shows(/pid=\d+/);
    const program = Number(/pid=(\d+)/.exec(before.text)![1]);
    const daemon = await runner.daemonPid();
    killPid(daemon);
    await before.until(() => before.closeCode !== null, "the loss of the link");
    await before[Symbol.asyncDispose]();
    await runner.daemonPid(daemon);
    await using after = await lookAt(hub, runner, sessionId);
    await after.shows(`pid=${program}`);
    await using viewer = new ScriptedViewer(hub, sessionId);
    await viewer.live();
    killPid((await runner.hostPid(sessionId))!);
    await after.until(() => after.closeCode !== null, "the terminal's end");
    await viewer.until(() => viewer.timeline.meta.ended?.reason === "lost", "the end of the session");
    await eventually(() => !isAlive(program), "the program's end");
  });
});

Deno.test("silence after work asks for a person, once", async () => {
  await using hub = await startHub();
  await using runner = await startRunner(hub, { env: { PERCH_TERMINAL_SILENCE_S: "0.5" } });
  const sessionId = await runner.startSession({ agentId: "terminal", command: ["/bin/sh", "-c", "echo hi; exec cat"] });
  await using viewer = new ScriptedViewer(hub, sessionId);
  await viewer.until(() => viewer.timeline.meta.attention === 1, "attention");
  assert.equal(notices(viewer).filter((text) => text.startsWith("Quiet for 0.5 s")).length, 1);
  await viewer.command(prompt("there"));
  await viewer.until(() => viewer.timeline.meta.attention === 0, "calm");
});
