/** However the bytes of an agent's output are cut, the timeline is the same. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { AcpAgent } from "@/runner/agents/acp.ts";
import { PiAgent } from "@/runner/agents/pi.ts";
import { objectOf } from "@/runner/agents/read.ts";
import { normalised } from "./acp_expected.ts";
import { FakePipes } from "./fake_pipes.ts";
import { memoryContext } from "./memory_session.ts";
import { AcpPlayer, PiPlayer, promptText } from "./replay_player.ts";
import { acpRuns, type Line, readTranscript } from "./transcript.ts";

/** Chunk sizes in turn, over and over. */
function cutter(sizes: number[]): () => number {
  let place = 0;
  return () => sizes[place++ % sizes.length] ?? 1;
}

/** Every request is allowed once; other dialogs are left to the turn's end. */
function allowAll(agent: AcpAgent | PiAgent, context: ReturnType<typeof memoryContext>): void {
  const { session } = context;
  const upsert = session.upsert.bind(session);
  session.upsert = (draft) => {
    upsert(draft);
    if (draft.kind !== "interaction" || draft.head.status !== "pending") return;
    const option = objectOf(draft.body).options;
    const once = (Array.isArray(option) ? option : []).find((candidate) => objectOf(candidate).kind === "allow_once");
    queueMicrotask(() =>
      agent.answer({
        kind: "answer",
        entryId: draft.id,
        outcome: "selected",
        optionId: String(objectOf(once).optionId),
        op: "op",
        by: "Ann",
      })
    );
  };
}

async function playAcp(lines: Line[], sizes: number[]): Promise<unknown[]> {
  const context = memoryContext("/", { env: {} });
  const agent = new AcpAgent(
    context,
    { agentId: "custom", name: "Replay", command: ["replay"], env: {}, startTimeoutMs: 5_000 },
    () => new FakePipes((send) => new AcpPlayer(lines, send), cutter(sizes)),
  );
  allowAll(agent, context);
  await agent.start();
  for (const { dir, msg } of lines) {
    if (dir === "in" && msg.method === "session/prompt") await agent.prompt({ text: promptText(msg), attachments: [] });
  }
  await agent.stop();
  assert.deepEqual(context.session.openEntryIds(), []);
  return normalised(context.session.timeline());
}

async function playPi(lines: Line[], sizes: number[]): Promise<unknown[]> {
  const context = memoryContext("/", { env: {} });
  const agent = new PiAgent(
    context,
    { name: "pi", command: ["pi"], env: {}, startTimeoutMs: 5_000 },
    () => new FakePipes((send) => new PiPlayer(lines, send), cutter(sizes)),
  );
  allowAll(agent, context);
  await agent.start();
  for (const { dir, msg } of lines) {
    if (dir === "in" && msg.type === "prompt") await agent.prompt({ text: String(msg.message), attachments: [] });
  }
  await agent.stop();
  assert.deepEqual(context.session.openEntryIds(), []);
  return normalised(context.session.timeline());
}

const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 41, max: 20_000 })), {
  minLength: 1,
  maxLength: 30,
});

for (const name of ["kimi", "kimi-tools", "opencode-tools", "copilot-tools"]) {
  Deno.test(`any chunking of ${name} gives the same timeline`, async () => {
    const lines = acpRuns(name)[0]?.lines ?? [];
    const whole = await playAcp(lines, [Infinity]);
    assert.ok(whole.length > 3);
    await fc.assert(
      fc.asyncProperty(sizes, async (cuts) => assert.deepEqual(await playAcp(lines, cuts), whole)),
      { numRuns: 10 },
    );
  });
}

for (const name of ["pi-rpc", "pi-unicode", "pi-parallel", "pi-think"]) {
  Deno.test(`any chunking of ${name} gives the same timeline`, async () => {
    const lines = readTranscript(name).filter((line) => !/^set_/.test(String(line.msg.type)));
    const whole = await playPi(lines, [Infinity]);
    assert.ok(whole.length > 0);
    await fc.assert(
      fc.asyncProperty(sizes, async (cuts) => assert.deepEqual(await playPi(lines, cuts), whole)),
      { numRuns: 10 },
    );
  });
}
