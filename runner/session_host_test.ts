import assert from "node:assert/strict";
import { join } from "node:path";
import type { CommandResult, EntryBodies, SessionCommand } from "@/protocol/mod.ts";
import { AgentStartError } from "./agents/agent.ts";
import { Journal } from "./journal.ts";
import { messageId, QUEUE_PROMPTS, SessionHost } from "./session_host.ts";
import { SessionLog } from "./session_log.ts";
import { ScriptedAgent } from "./testing/scripted_agent.ts";

class Fixture {
  readonly #directory = Deno.makeTempDirSync({ prefix: "perch-host-" });
  log!: SessionLog;
  host!: SessionHost;
  agent!: ScriptedAgent;
  #nextOp = 0;

  constructor() {
    this.open();
  }

  /** Opens the session's directory as a new process would. */
  open(): void {
    this.log = new SessionLog({ sessionId: "s1", journal: Journal.open(join(this.#directory, "journal")) });
    this.host = new SessionHost({
      log: this.log,
      write: () => {},
      createAgent: (handles) => this.agent = new ScriptedAgent(handles),
    });
  }

  async started(): Promise<this> {
    const starting = this.host.start();
    this.agent.nowStarted();
    await starting;
    return this;
  }

  deliver(command: SessionCommand, op = `op${this.#nextOp++}`, from = "Ada"): Promise<CommandResult> {
    return this.host.deliver({ type: "command", op, sessionId: "s1", command, from, at: 1, expiresAt: 2 });
  }
  prompt(text: string, op?: string): Promise<CommandResult> {
    return this.deliver({ kind: "prompt", text, delivery: "prompt" }, op);
  }

  get meta() {
    return this.log.meta();
  }
  notices(): EntryBodies["notice"][] {
    return this.log.journal.index.timeline().filter((ref) => ref.kind === "notice").map((ref) =>
      this.log.entry<"notice">(ref.id)?.body as EntryBodies["notice"]
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.log.close();
    Deno.removeSync(this.#directory, { recursive: true });
  }
}

/** Lets what is already resolved run. */
function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

Deno.test("a prompt runs when idle, waits while one runs, and the queue drains turn by turn", async () => {
  await using f = await new Fixture().started();
  assert.equal(f.meta.activity, "idle");
  assert.equal((await f.prompt("first line\nsecond")).status, "applied");
  assert.equal(f.meta.activity, "working");
  assert.equal(f.meta.title, "first line");
  assert.equal(f.meta.preview, "first line");
  await f.prompt("two", "op-two");
  await f.deliver({ kind: "prompt", text: "three", delivery: "follow_up" }, "op-three");
  assert.deepEqual(f.meta.queue.map(({ op, text }) => [op, text]), [["op-two", "two"], ["op-three", "three"]]);
  assert.deepEqual(f.agent.calls, ["start new", "prompt first line\nsecond"]);
  assert.equal(f.log.entry(messageId("op-two")), undefined, "what waits is not in the timeline yet");

  f.agent.turnEnds();
  await settle();
  assert.equal(f.agent.calls.at(-1), "prompt two");
  assert.equal(f.meta.queue.length, 1);
  assert.equal(f.log.entry<"user_message">(messageId("op-two"))?.body.from, "Ada");
  assert.equal((await f.deliver({ kind: "unqueue", queuedOp: "op-three" })).status, "applied");
  const gone = await f.deliver({ kind: "unqueue", queuedOp: "op-three" });
  assert.deepEqual([gone.status, gone.reason], ["rejected", "that prompt does not wait any more"]);
  f.agent.turnEnds({ outcome: "failed", message: "429" });
  await settle();
  assert.equal(f.meta.activity, "idle");
  assert.equal(f.agent.calls.length, 3);
});

Deno.test("the queue is bounded, and says so", async () => {
  await using f = await new Fixture().started();
  await f.prompt("running");
  for (let i = 0; i < QUEUE_PROMPTS; i++) assert.equal((await f.prompt(`p${i}`)).status, "applied");
  const result = await f.prompt("too many");
  assert.equal(result.status, "rejected");
  assert.match(result.reason ?? "", /50 prompts wait already/);
});

Deno.test("a command delivered again has no second effect and gets the same receipt, in this run and the next", async () => {
  await using f = await new Fixture().started();
  const [one, two] = await Promise.all([f.prompt("hi", "op-a"), f.prompt("hi", "op-a")]);
  assert.deepEqual(one, two);
  assert.deepEqual(await f.prompt("hi", "op-a"), one);
  const rejected = await f.deliver({ kind: "set_mode", modeId: "x" }, "op-b");
  assert.deepEqual([rejected.status, rejected.reason], ["rejected", "this agent has no modes"]);
  assert.deepEqual(f.agent.calls.filter((call) => call.startsWith("prompt")), ["prompt hi"]);

  await f.log.close();
  f.open();
  await f.started();
  assert.deepEqual(await f.prompt("hi", "op-a"), one);
  assert.deepEqual(await f.deliver({ kind: "set_mode", modeId: "x" }, "op-b"), rejected);
  assert.deepEqual(f.agent.calls, ["start new"]);
});

Deno.test("steering goes into the running turn when the agent can, else it is refused", async () => {
  await using f = await new Fixture().started();
  await f.prompt("go");
  assert.equal((await f.deliver({ kind: "prompt", text: "left", delivery: "steer" }, "op-s")).status, "applied");
  assert.equal(f.agent.calls.at(-1), "steer left");
  const message = f.log.entry<"user_message">(messageId("op-s"));
  assert.deepEqual([message?.head.status, message?.body.delivery], ["completed", "steer"]);
  f.agent.session.patchMeta({ can: { ...f.meta.can, steer: false } });
  const refused = await f.deliver({ kind: "prompt", text: "right", delivery: "steer" });
  assert.match(refused.reason ?? "", /send it as a follow-up/);
  f.agent.turnEnds();
  await settle();
  await f.deliver({ kind: "prompt", text: "late", delivery: "steer" });
  assert.equal(f.agent.calls.at(-1), "prompt late", "with no turn left it begins one");
});

Deno.test("the first answer counts; the second hears who won", async () => {
  await using f = await new Fixture().started();
  await f.prompt("go");
  f.agent.asks("ask-1");
  assert.deepEqual([f.meta.activity, f.meta.attention], ["waiting", 1]);
  const answer: SessionCommand = { kind: "answer", entryId: "ask-1", outcome: "selected", optionId: "yes" };
  const [first, second] = await Promise.all([f.deliver(answer, "op-1", "Ada"), f.deliver(answer, "op-2", "Bob")]);
  assert.equal(first?.status, "applied");
  assert.deepEqual([second?.status, second?.reason], ["rejected", "already answered by Ada"]);
  assert.deepEqual(f.agent.calls.filter((call) => call.startsWith("answer")), ["answer yes by Ada"]);
  assert.deepEqual([f.meta.activity, f.meta.attention], ["working", 0]);
  const unknown = await f.deliver({ ...answer, entryId: "nothing" });
  assert.equal(unknown.reason, "there is no such question");
});

Deno.test("an agent may ask while it starts, and is answered", async () => {
  await using f = new Fixture();
  const starting = f.host.start();
  f.agent.asks("trust");
  assert.equal(f.meta.activity, "waiting");
  const answer: SessionCommand = { kind: "answer", entryId: "trust", outcome: "selected", optionId: "yes" };
  assert.equal((await f.deliver(answer)).status, "applied");
  assert.equal(f.meta.activity, "starting");
  f.agent.nowStarted();
  await starting;
  assert.equal(f.meta.activity, "idle");
});

Deno.test("cancelling ends the turn and does nothing when idle", async () => {
  await using f = await new Fixture().started();
  assert.equal((await f.deliver({ kind: "cancel" })).status, "applied");
  await f.prompt("go");
  f.agent.session.upsert({
    id: "m",
    kind: "agent_message",
    head: { status: "running", startedAt: 1 },
    body: { text: "half" },
  });
  await f.deliver({ kind: "cancel" });
  await settle();
  assert.equal(f.meta.activity, "idle");
  assert.equal(f.log.entry("m")?.head.status, "cancelled", "what the agent left open is closed");
});

Deno.test("no turn begins while the agent is being configured or compacts", async () => {
  await using f = await new Fixture().started();
  const gate = Promise.withResolvers<void>();
  f.agent.configuring = gate.promise;
  const configured = f.deliver({ kind: "set_model", modelId: "m" });
  await f.prompt("after the model");
  assert.deepEqual(f.agent.calls, ["start new", "set_model"]);
  f.agent.session.patchMeta({ isCompacting: true });
  assert.equal(f.meta.activity, "working");
  gate.resolve();
  assert.equal((await configured).status, "applied");
  await settle();
  assert.equal(f.agent.calls.length, 2);
  f.agent.session.patchMeta({ isCompacting: false });
  await settle();
  assert.equal(f.agent.calls.at(-1), "prompt after the model");
  const refused = await f.deliver({ kind: "new_conversation" });
  assert.match(refused.reason ?? "", /stop the running turn/);
});

Deno.test("a person's title stays, whatever the agent calls the session; host fields are not the agent's", async () => {
  await using f = await new Fixture().started();
  await f.prompt("make a thing");
  f.agent.session.patchMeta({ title: "Agent's title", activity: "ended", attention: 9 });
  assert.deepEqual([f.meta.title, f.meta.activity, f.meta.attention], ["Agent's title", "working", 0]);
  await f.deliver({ kind: "rename", title: "Mine" });
  f.agent.session.patchMeta({ title: "Agent again" });
  assert.equal(f.meta.title, "Mine");
  assert.equal(f.host.writer.givenTitle(), "Mine");
});

Deno.test("an agent that exits ends the session as failed, with its last words in the timeline", async () => {
  await using f = await new Fixture().started();
  await f.prompt("go");
  f.agent.session.upsert({
    id: "t",
    kind: "tool_call",
    head: { status: "running", startedAt: 1 },
    body: { toolCallId: "t", output: "so far", content: [], locations: [] },
  });
  f.agent.exits({ code: 3, signal: null, stderrTail: "panic: oh no" });
  const end = await f.host.ended;
  assert.equal(end.reason, "failed");
  assert.match(end.detail ?? "", /exited with code 3[^]*panic: oh no/);
  assert.deepEqual(f.notices(), [{ level: "error", text: "the agent exited with code 3", detail: "panic: oh no" }]);
  assert.deepEqual([f.meta.activity, f.meta.ended?.reason], ["ended", "failed"]);
  const tool = f.log.entry<"tool_call">("t");
  assert.deepEqual([tool?.head.status, tool?.body.output], ["failed", "so far"]);
  const late = await f.prompt("more");
  assert.match(late.reason ?? "", /the session has ended/);
});

Deno.test("an agent that cannot start shows why", async () => {
  await using f = new Fixture();
  const starting = f.host.start();
  const queued = await f.prompt("waiting for you");
  assert.equal(queued.status, "applied", "prompts wait while the agent starts");
  f.agent.startFailed(new AgentStartError("no such program", "sh: nope: not found"));
  await starting;
  assert.equal((await f.host.ended).reason, "failed");
  assert.deepEqual(f.notices(), [
    { level: "error", text: "the agent could not be started: no such program", detail: "sh: nope: not found" },
  ]);
  assert.equal(f.meta.queue.length, 1, "what waited is there for a resumed session");
});

Deno.test("after a killed process, open entries are closed with the text that survived, and the queue goes on", async () => {
  await using f = await new Fixture().started();
  f.agent.handles.saveResumeId("agent-session-7");
  await f.prompt("go");
  await f.prompt("and then", "op-then");
  f.agent.session.upsert({
    id: "m",
    kind: "agent_message",
    head: { status: "running", startedAt: 1 },
    body: { text: "" },
  });
  f.agent.session.append("m", "streamed ");
  f.agent.session.append("m", "so far");
  f.agent.asks("ask");
  await f.log.close();

  f.open();
  await f.started();
  assert.equal(f.agent.calls[0], "start agent-session-7");
  const message = f.log.entry<"agent_message">("m");
  assert.deepEqual([message?.head.status, message?.body.text], ["cancelled", "streamed so far"]);
  assert.equal(f.log.entry<"interaction">("ask")?.body.answer?.outcome, "cancelled");
  assert.equal(f.meta.attention, 0);
  assert.equal(f.agent.calls.at(-1), "prompt and then");
  assert.deepEqual(f.meta.queue, []);
});

Deno.test("stopping closes what is open, ends the session once, and leaves the reason", async () => {
  await using f = await new Fixture().started();
  await f.prompt("go");
  f.agent.asks("ask");
  const [a, b] = await Promise.all([f.host.stop("closed"), f.host.stop("runner_stopped")]);
  assert.deepEqual(a, b);
  assert.equal(a.reason, "closed");
  assert.equal(f.agent.calls.filter((call) => call === "stop").length, 1);
  assert.deepEqual(f.log.openEntryIds(), []);
  assert.deepEqual(f.notices(), []);
});
