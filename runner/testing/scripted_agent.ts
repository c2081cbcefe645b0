/** An agent inside the test's own process: does nothing until the test says what happens next. */
import type { EntryBodies } from "@/protocol/mod.ts";
import { type Agent, type AgentExit, AgentRefusal, type SessionWriter, type TurnEnd } from "../agents/agent.ts";
import type { AgentHandles } from "../session_host.ts";

export class ScriptedAgent implements Agent {
  readonly session: SessionWriter;
  readonly handles: AgentHandles;
  /** What was asked of it, in order. */
  readonly calls: string[] = [];
  #turn: PromiseWithResolvers<TurnEnd> | null = null;
  readonly #exited = Promise.withResolvers<AgentExit>();
  readonly #started = Promise.withResolvers<void>();
  /** Set to make `configure` wait for the test. */
  configuring: Promise<void> | null = null;

  constructor(handles: AgentHandles) {
    this.handles = handles;
    this.session = handles.session;
  }

  start(): Promise<void> {
    this.calls.push(`start ${this.handles.resumeId ?? "new"}`);
    return this.#started.promise;
  }
  nowStarted(): void {
    this.session.patchMeta({
      can: { steer: true, followUp: true, image: false, compact: true, newConversation: true, resume: true },
    });
    this.#started.resolve();
  }
  startFailed(error: Error): void {
    this.#started.reject(error);
  }

  prompt({ text }: { text: string }): Promise<TurnEnd> {
    this.calls.push(`prompt ${text}`);
    if (this.#turn) throw new Error("a second prompt while one runs");
    this.#turn = Promise.withResolvers();
    return this.#turn.promise;
  }
  get isWorking(): boolean {
    return this.#turn !== null;
  }
  /** Ends the running turn. */
  turnEnds(end: TurnEnd = { outcome: "completed" }): void {
    const turn = this.#turn;
    this.#turn = null;
    turn?.resolve(end);
  }

  steer({ text }: { text: string }): Promise<void> {
    this.calls.push(`steer ${text}`);
    return Promise.resolve();
  }

  cancel(): Promise<void> {
    this.calls.push("cancel");
    this.turnEnds({ outcome: "cancelled" });
    return Promise.resolve();
  }

  /** Asks a person. */
  asks(id: string): void {
    this.session.upsert({
      id,
      kind: "interaction",
      head: { status: "pending", startedAt: 1, attention: true },
      body: { interaction: "permission", options: [{ optionId: "yes", name: "Yes", kind: "allow_once" }] },
    });
  }

  async answer(answer: Parameters<Agent["answer"]>[0]): Promise<void> {
    this.calls.push(`answer ${answer.optionId} by ${answer.by}`);
    await Promise.resolve();
    const entry = this.session.entry<"interaction">(answer.entryId);
    if (!entry || entry.head.status !== "pending") throw new AgentRefusal("it is not pending");
    const body: EntryBodies["interaction"] = {
      ...entry.body,
      answer: { outcome: answer.outcome, optionId: answer.optionId, by: answer.by, op: answer.op, at: 2 },
    };
    this.session.upsert({ ...entry, head: { status: "completed", startedAt: 1, endedAt: 2 }, body });
  }

  async configure(command: Parameters<Agent["configure"]>[0]): Promise<void> {
    this.calls.push(command.kind);
    await this.configuring;
    if (command.kind === "set_mode") throw new AgentRefusal("this agent has no modes");
  }

  stop(): Promise<void> {
    this.calls.push("stop");
    this.turnEnds({ outcome: "cancelled" });
    this.exits({ code: 0, signal: null, stderrTail: "" });
    return Promise.resolve();
  }
  exits(exit: AgentExit): void {
    this.#exited.resolve(exit);
  }
  get exited(): Promise<AgentExit> {
    return this.#exited.promise;
  }
}
