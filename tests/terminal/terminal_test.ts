/** Terminals through the real hub and runner, as processes. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { closeCodes } from "@/protocol/mod.ts";
import type { TerminalInfo } from "@/protocol/terminal.ts";
import { type HubProcess, startHub } from "@/tests/support/hub.ts";
import { eventually } from "@/tests/support/patience.ts";
import { MemoryWatch } from "@/tests/support/memory.ts";
import { type RunnerProcess, startRunner } from "@/tests/support/runner.ts";
import { makeTerminal, TerminalClient } from "./terminal_client.ts";

/** A shell that reads no start-up files and shows a known prompt. */
const shell = ["/bin/sh", "-c", "PS1='ready> ' ENV= exec sh -i"];

async function open(hub: HubProcess, runner: RunnerProcess, command = shell): Promise<TerminalClient> {
  const { terminalId } = await makeTerminal(hub, runner, { command });
  return await TerminalClient.open(hub, runner.runnerId, terminalId);
}

Deno.test("terminals through hub and runner", async (t) => {
  await using hub = await startHub();
  await using runner = await startRunner(hub);

  await t.step("a shell in the folder, with a terminal's environment, in UTF-8", async () => {
    await using client = await open(hub, runner);
    await client.shows("ready>");
    client.type(
      "pwd; echo $TERM $COLORTERM $LANG; stty size; printf '\\346\\274'; sleep 0.2; printf '\\242\\345\\255\\227 \\360\\237'; sleep 0.2; printf '\\231\\202!\\n'\r",
    );
    await client.shows("漢字 🙂!");
    assert.match(client.text, new RegExp(await Deno.realPath(runner.work)));
    assert.match(client.text, /xterm-256color truecolor \S*UTF-8/i);
    assert.match(client.text, /24 80/);
    assert.doesNotMatch(client.text, /PERCH_API_KEY/);
  });

  await t.step("a late viewer sees the same screen, then the same bytes", async () => {
    const { terminalId } = await makeTerminal(hub, runner, { command: shell });
    await using first = await TerminalClient.open(hub, runner.runnerId, terminalId);
    first.type("i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done\r");
    await first.shows("line 2999");
    await using second = await TerminalClient.open(hub, runner.runnerId, terminalId);
    await second.shows("line 2999");
    assert.equal(second.text, first.text);
    assert.ok(second.text.includes("line 0\n"));
    second.type("printf '\\033[31mboth\\033[0m-see'\r");
    await second.shows("both-see");
    await first.shows("both-see");
  });

  await t.step("who typed last owns the size; the others are told", async () => {
    const { terminalId } = await makeTerminal(hub, runner, { command: shell });
    await using first = await TerminalClient.open(hub, runner.runnerId, terminalId, { cols: 100, rows: 30 });
    await first.until(() => first.size?.cols === 100 && first.size.isOwner, "the first one's size");
    await using second = await TerminalClient.open(hub, runner.runnerId, terminalId, { cols: 40, rows: 12 });
    assert.deepEqual([second.size?.cols, second.size?.rows, second.size?.isOwner], [100, 30, false]);
    second.type("stty size\r");
    await second.until(() => second.size?.cols === 40, "the second one's size");
    await first.until(() => first.size?.cols === 40, "the news");
    assert.equal(first.size?.isOwner, false);
    await first.shows("12 40");
    first.resize(120, 40);
    first.type("stty size\r");
    await first.shows("40 120");
    await second.shows("40 120");
    // As a window that is being resized.
    for (let cols = 200; cols > 70; cols--) first.resize(cols, 20);
    first.type("clear; stty size\r");
    await first.until(() => first.size?.cols === 71 && second.size?.cols === 71, "the last size");
    await first.shows("20 71");
    await second.shows("20 71");
    assert.equal(second.text, first.text);
  });

  await t.step("its exit is told, and it restarts in place", async () => {
    const { terminalId } = await makeTerminal(hub, runner, {
      command: ["/bin/sh", "-c", "echo run $$; read x; exit 7"],
    });
    await using client = await TerminalClient.open(hub, runner.runnerId, terminalId);
    await client.shows(/run \d+/);
    const [, before] = /run (\d+)/.exec(client.text)!;
    client.type("\r");
    await client.until(() => client.status?.state === "exited", "its exit");
    assert.equal(client.status?.state === "exited" && client.status.code, 7);
    await using late = await TerminalClient.open(hub, runner.runnerId, terminalId);
    assert.equal(late.status?.state, "exited");
    await hub.api("POST", `/api/terminals/${terminalId}/restart`, { runnerId: runner.runnerId });
    const isNew = () => (/run (\d+)/.exec(client.text)?.[1] ?? before) !== before;
    await client.until(() => client.status?.state === "running" && isNew(), "the new run");
  });

  await t.step("closing ends the program and its viewers", async () => {
    const { terminalId } = await makeTerminal(hub, runner, {
      command: ["/bin/sh", "-c", "echo pid=$$; exec sleep 1000"],
    });
    await using client = await TerminalClient.open(hub, runner.runnerId, terminalId);
    await client.shows(/pid=\d+/);
    const pid = Number(/pid=(\d+)/.exec(client.text)![1]);
    await hub.api("DELETE", `/api/terminals/${terminalId}?runnerId=${runner.runnerId}`);
    await client.until(() => client.closeCode !== null, "the end");
    assert.equal(client.closeCode, closeCodes.deleted);
    await eventually(() => !isThere(pid), "the program's end");
    const { terminals } = await hub.api("GET", `/api/terminals?runnerId=${runner.runnerId}`);
    assert.ok(!terminals.some((terminal: { terminalId: string }) => terminal.terminalId === terminalId));
  });

  await t.step("100 MB: the last byte arrives, a viewer that does not read costs nothing", async () => {
    const path = join(runner.work, "big.txt");
    const line = `${"0123456789".repeat(7)}\n`;
    await Deno.writeTextFile(path, line.repeat(Math.ceil(100e6 / line.length)) + "the very last line\n");
    const { terminalId } = await makeTerminal(hub, runner, { command: shell });
    await using stuck = await TerminalClient.open(hub, runner.runnerId, terminalId, { isStuck: true });
    await using client = await TerminalClient.open(hub, runner.runnerId, terminalId);
    using memory = await MemoryWatch.of(await runner.daemonPid());
    client.type("cat big.txt\r");
    await client.shows("the very last line");
    assert.ok(memory.grownBytes() <= 64e6, `a process of the runner grew by ${memory.grownBytes()} bytes`);
    // What a viewer gets that never says it has shown anything.
    assert.ok(stuck.outputBytes <= 1.2e6, `${stuck.outputBytes}`);
    // It wakes up, and sees what everybody sees.
    stuck.credit(stuck.outputBytes);
    await stuck.shows("the very last line");
    assert.ok(stuck.screens.some(({ isSkip }) => isSkip));
    await using late = await TerminalClient.open(hub, runner.runnerId, terminalId);
    await late.shows("the very last line");
    await eventually(() => late.text === client.text, "the same screen for both");
    await Deno.remove(path);
  });

  await t.step("a program that ends while its viewer does not read leaves its last line", async () => {
    const print = 'printf "\\033[3%dm%07d the quick brown fox\\033[0m\\n", i % 8, i';
    const { terminalId } = await makeTerminal(hub, runner, {
      command: ["awk", `BEGIN { for (i = 1; i <= 300000; i++) ${print}; printf "the very last line" }`],
    });
    await using stuck = await TerminalClient.open(hub, runner.runnerId, terminalId, { isStuck: true });
    const status = async () => {
      const { terminals } = await hub.api("GET", `/api/terminals?runnerId=${runner.runnerId}`);
      return terminals.find((terminal: TerminalInfo) => terminal.terminalId === terminalId).status;
    };
    await eventually(async () => (await status()).state === "exited", "its exit");
    assert.equal((await status()).code, 0);
    await using late = await TerminalClient.open(hub, runner.runnerId, terminalId);
    await late.shows("0300000 the quick brown fox\nthe very last line");
    stuck.credit(stuck.outputBytes);
    await stuck.until(() => stuck.status?.state === "exited", "the news of its exit");
    await stuck.shows("0300000 the quick brown fox\nthe very last line");
    await eventually(() => stuck.text === late.text, "the same screen for both");
    // 10,000 lines that scrolled out and a screen.
    assert.ok(late.text.startsWith("0289978 the quick brown fox\n"), late.text.slice(0, 100));
  });

  await t.step(
    "the bell and OSC 9 ask for attention until somebody types; titles are told without control characters",
    async () => {
      const { terminalId } = await makeTerminal(hub, runner, {
        command: ["/bin/sh", "-c", "printf '\\033]2;a\\342\\200\\256title\\007\\033]9;needs you\\007'; exec cat"],
      });
      const info = () =>
        hub.api("GET", `/api/terminals?runnerId=${runner.runnerId}`).then(({ terminals }) =>
          terminals.find((terminal: { terminalId: string }) => terminal.terminalId === terminalId)
        );
      await eventually(async () => (await info()).attention?.text === "needs you", "the attention");
      assert.equal((await info()).title, "a title");
      await using client = await TerminalClient.open(hub, runner.runnerId, terminalId);
      client.type("x");
      await eventually(async () => (await info()).attention === null, "nothing to attend to");
    },
  );

  await t.step(
    "who comes to look is enough, a connection that comes back is not; a bell right after a key is its echo",
    async () => {
      const { terminalId } = await makeTerminal(hub, runner, {
        command: ["/bin/sh", "-c", "read x; printf '\\007echo\\n'; read x; printf '\\033]9;look\\007'; exec cat"],
      });
      const info = () =>
        hub.api("GET", `/api/terminals?runnerId=${runner.runnerId}`).then(({ terminals }) =>
          terminals.find((terminal: TerminalInfo) => terminal.terminalId === terminalId)
        );
      await using client = await TerminalClient.open(hub, runner.runnerId, terminalId);
      client.type("a\r");
      await client.shows(/^echo$/m);
      assert.equal((await info()).attention, null);
      client.type("b\r");
      await eventually(async () => (await info()).attention?.text === "look", "the attention");
      await using again = await TerminalClient.open(hub, runner.runnerId, terminalId);
      await eventually(async () => (await info()).viewerCount === 2, "its arrival");
      assert.equal((await info()).attention?.text, "look");
      again.look();
      await eventually(async () => (await info()).attention === null, "calm");
    },
  );

  await t.step("folders outside the roots, unknown and foreign terminals are refused", async () => {
    const { runnerId } = runner;
    await assert.rejects(makeTerminal(hub, runner, { cwd: "/etc" }), /409.*outside this runner's roots/);
    await Deno.symlink("/etc", join(runner.work, "etc"));
    await assert.rejects(makeTerminal(hub, runner, { cwd: join(runner.work, "etc") }), /409.*outside/);
    await assert.rejects(makeTerminal(hub, runner, { cwd: "work" }), /409.*not absolute/);
    const { terminalId } = await makeTerminal(hub, runner, { command: shell });
    const bob = await hub.invite("Bob");
    await using unknown = await TerminalClient.refused(hub, runnerId, "no-such-terminal");
    await using foreign = await TerminalClient.refused(hub, runnerId, terminalId, { apiKey: bob.apiKey });
    for (const { errors, closeCode } of [unknown, foreign]) {
      assert.equal(errors[0]?.code, "not_found");
      assert.equal(closeCode, closeCodes.deleted);
    }
    for (
      const [method, path] of [["GET", `?runnerId=${runnerId}`], ["DELETE", `/${terminalId}?runnerId=${runnerId}`]]
    ) {
      await assert.rejects(hub.api(method!, `/api/terminals${path}`, undefined, bob), /404/);
    }
    await assert.rejects(hub.api("POST", `/api/terminals/${terminalId}/restart`, { runnerId }, bob), /404/);
    await assert.rejects(hub.api("POST", "/api/terminals", { runnerId, cwd: runner.work }, bob), /404/);
    await assert.rejects(hub.api("DELETE", `/api/terminals/nope?runnerId=${runnerId}`), /404/);
  });

  await t.step("a viewer that breaks the framing is closed, the terminal goes on", async () => {
    const { terminalId } = await makeTerminal(hub, runner, { command: shell });
    await using good = await TerminalClient.open(hub, runner.runnerId, terminalId);
    await using bad = await TerminalClient.open(hub, runner.runnerId, terminalId);
    bad.send(Uint8Array.of(16, 0xff, 0xff, 0xff, 0xff, 1, 2, 3));
    await bad.until(() => bad.closeCode !== null, "its end");
    assert.equal(bad.errors[0]?.code, "invalid_message");
    good.type("echo still $((40+2))\r");
    await good.shows("still 42");
  });

  await t.step("it survives a restart of the hub, and ends when the runner dies", async () => {
    const { terminalId } = await makeTerminal(hub, runner, { command: shell });
    const before = await TerminalClient.open(hub, runner.runnerId, terminalId);
    before.type("echo pid=$$; kept=yes\r");
    await before.shows(/pid=\d+/);
    const pid = Number(/pid=(\d+)/.exec(before.text)![1]);
    await hub.restart();
    await before[Symbol.asyncDispose]();
    const after = await eventually(
      () => TerminalClient.open(hub, runner.runnerId, terminalId).catch(() => null),
      "the terminal after the restart",
    );
    await after.shows(/pid=\d+/);
    after.type("echo kept=$kept\r");
    await after.shows("kept=yes\n");
    const daemon = await runner.daemonPid();
    Deno.kill(daemon, "SIGKILL");
    await after.until(() => after.closeCode !== null, "the end");
    assert.match(after.errors[0]?.code ?? "", /unavailable/);
    await after[Symbol.asyncDispose]();
    await eventually(() => !isThere(pid), "the program's end");
  });
});

function isThere(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
  } catch {
    return false;
  }
}
