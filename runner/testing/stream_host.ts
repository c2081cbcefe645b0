/**
 * A session host whose agent lives inside it and writes a stream of records and deltas as fast as it is let: a process to be killed.
 * Arguments: session directory, data directory, number of records.
 */
import { dataDir } from "../data_dir.ts";
import { hostProcess } from "../host_main.ts";
import type { AgentHandles } from "../session_host.ts";
import { ScriptedAgent } from "./scripted_agent.ts";

class StreamingAgent extends ScriptedAgent {
  readonly #records: number;

  constructor(handles: AgentHandles, records: number) {
    super(handles);
    this.#records = records;
  }

  override start(): Promise<void> {
    this.nowStarted();
    return super.start();
  }

  override async prompt(prompt: { text: string }): ReturnType<ScriptedAgent["prompt"]> {
    const ended = super.prompt(prompt);
    for (let i = 0; i < this.#records; i++) {
      const id = `${prompt.text}-${Math.floor(i / 2)}`;
      const isLast = i % 2 === 1;
      this.session.upsert({
        id,
        kind: "agent_message",
        head: { status: isLast ? "completed" : "running", startedAt: i, ...(isLast ? { endedAt: i } : {}) },
        body: { text: this.session.entry<"agent_message">(id)?.body.text ?? "" },
      });
      if (!isLast) { for (const word of ["some ", "words ", `of ${i}`]) this.session.append(id, word); }
      if (i % 7 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
    }
    this.turnEnds();
    return await ended;
  }
}

if (import.meta.main) {
  const [sessionPath = "", dataPath, records] = Deno.args;
  await hostProcess({
    sessionPath,
    dataDir: dataDir(dataPath, {}),
    createAgent: (context) => new StreamingAgent(context, Number(records)),
  });
}
