/** Starts a session: which runner, which folder, which agent, what to do first. */
import { type ReadonlySignal, useComputed, useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { terminalAgentId } from "@/protocol/command.ts";
import type { AgentInfo, RunnerInfo, SessionInfo } from "@/protocol/shared.ts";
import { Anything, api, ApiError, errorText } from "@/client/api.ts";
import { splitCommandLine } from "@/client/command_line.ts";
import { recentFolders } from "@/client/grouping.ts";
import { StartedSession } from "./demo_start.tsx";
import { Dialog } from "./dialog.tsx";
import { Field } from "./field.tsx";
import { FolderPicker } from "./folder_picker.tsx";
import { DemoTag } from "./session_row.tsx";

const CUSTOM = "custom";
/** Agents that are a command of the person's own. */
const takesCommand = (agentId: string) => agentId === CUSTOM || agentId === terminalAgentId;

interface NewSessionDialogProps {
  sessions: ReadonlySignal<ReadonlyMap<string, SessionInfo> | null>;
  runners: ReadonlySignal<ReadonlyMap<string, RunnerInfo> | null>;
  onClose: () => void;
}

/** The runner that a new session most likely belongs to: one that is there, else any. */
function firstRunner(runners: ReadonlyMap<string, RunnerInfo> | null): string {
  const all = [...runners?.values() ?? []];
  return (all.find(({ isConnected }) => isConnected) ?? all[0])?.runnerId ?? "";
}

export function NewSessionDialog({ sessions, runners, onClose }: NewSessionDialogProps): JSX.Element {
  const runnerId = useSignal(firstRunner(runners.peek()));
  const runner = useComputed(() => runners.value?.get(runnerId.value));
  const recent = useComputed(() => recentFolders(sessions.value?.values() ?? [], runnerId.value));
  const cwd = useSignal(recent.peek()[0] ?? runner.peek()?.roots[0] ?? "");
  const agentId = useSignal("");
  const command = useSignal("");
  const prompt = useSignal("");
  const isBusy = useSignal(false);
  const problem = useSignal<{ field?: string | undefined; text: string } | null>(null);
  const agents = runner.value?.agents ?? [];
  const chosen = agentId.value ||
    (agents.find(({ available, isDemo }) => available && !isDemo) ?? agents.find(({ available }) => available))?.id ||
    CUSTOM;

  const start = async (event: Event) => {
    event.preventDefault();
    if (isBusy.value) return;
    problem.value = null;
    isBusy.value = true;
    try {
      const words = takesCommand(chosen) ? splitCommandLine(command.value) : [];
      if (takesCommand(chosen) && words.length === 0) {
        throw new ApiError(0, "invalid_field", "Write the command that starts the agent.", "command");
      }
      if (cwd.value.trim() === "") throw new ApiError(0, "invalid_field", "Choose the folder to work in.", "cwd");
      const { sessionId } = await api(StartedSession, "POST", "/api/sessions", {
        runnerId: runnerId.value,
        cwd: cwd.value.trim().replace(/(?<=.)[\\/]+$/, ""),
        agent: takesCommand(chosen) ? { agentId: chosen, command: words } : { agentId: chosen },
        ...(prompt.value.trim() === "" ? {} : { prompt: prompt.value.trim() }),
      });
      location.assign(`/session/${encodeURIComponent(sessionId)}`);
    } catch (error) {
      const field = error instanceof ApiError ? error.field : error instanceof SyntaxError ? "command" : undefined;
      problem.value = { field, text: errorText(error) };
      isBusy.value = false;
    }
  };
  const errorOf = (...fields: string[]) =>
    fields.includes(problem.value?.field ?? "-") ? problem.value?.text : undefined;
  const isPlaced = ["cwd", "command", "agent.command"].includes(problem.value?.field ?? "");
  const isOffline = runner.value?.isConnected === false;

  return (
    <Dialog title="New session" onClose={onClose}>
      <form class="stack" onSubmit={start}>
        {problem.value && !isPlaced && <p class="refusal" role="alert">{problem.value.text}</p>}
        {(runners.value?.size ?? 0) > 1 && (
          <div class="form-field">
            <label for="new-runner">Runner</label>
            <select
              id="new-runner"
              class="select"
              value={runnerId.value}
              onChange={(event) => {
                runnerId.value = event.currentTarget.value;
                agentId.value = "";
                cwd.value = recent.value[0] ?? runner.value?.roots[0] ?? "";
              }}
            >
              {[...runners.value?.values() ?? []].map((one) => (
                <option key={one.runnerId} value={one.runnerId}>{one.name}{one.isConnected ? "" : " (offline)"}</option>
              ))}
            </select>
          </div>
        )}
        {isOffline && <p class="hint" role="status">This runner is offline. The session starts when it is back.</p>}
        <FolderPicker
          key={[runnerId.value, ...runner.value?.roots ?? []].join("\n")}
          runnerId={runnerId.value}
          roots={runner.value?.roots ?? []}
          recent={recent.value}
          value={cwd}
          onChange={(path) => cwd.value = path}
          error={errorOf("cwd")}
        />
        <AgentChoice agents={agents} chosen={chosen} runnerId={runnerId.value} onChoose={(id) => agentId.value = id} />
        {takesCommand(chosen) && (
          <Field
            label={chosen === CUSTOM ? "Command that speaks ACP" : "Command"}
            name="command"
            value={command.value}
            onInput={(value) => command.value = value}
            placeholder={chosen === CUSTOM ? "my-agent --acp" : "aider --model sonnet"}
            hint="Run without a shell, in the folder above."
            error={errorOf("command", "agent.command")}
          />
        )}
        {takesCommand(chosen) && <Words line={command.value} />}
        <div class="form-field">
          <label for="new-prompt">
            {chosen === terminalAgentId ? "Typed into it first" : "First prompt"}{" "}
            <span class="quiet">(may stay empty)</span>
          </label>
          <textarea
            id="new-prompt"
            class="field"
            rows={3}
            value={prompt.value}
            onInput={(event) => prompt.value = event.currentTarget.value}
            onKeyDown={(event) => {
              if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) start(event);
            }}
          />
        </div>
        <div class="button-row is-end">
          <button type="submit" class="button is-primary" disabled={isBusy.value}>
            {isBusy.value ? "Starting…" : "Start session"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** The program and arguments that a command line is taken as. */
function Words({ line }: { line: string }): JSX.Element | null {
  let words: string[];
  try {
    words = splitCommandLine(line);
  } catch {
    return <p class="hint">A quote is still open.</p>;
  }
  if (words.length === 0) return null;
  return (
    <p class="command-words" role="status" aria-label="Program and arguments">
      {words.map((word, at) => <code key={at}>{word === "" ? "(empty)" : word}</code>)}
    </p>
  );
}

interface AgentChoiceProps {
  agents: readonly AgentInfo[];
  chosen: string;
  runnerId: string;
  onChoose: (id: string) => void;
}

function AgentChoice({ agents, chosen, runnerId, onChoose }: AgentChoiceProps): JSX.Element {
  const look = useSignal<"idle" | "looking" | string>("idle");
  const ready = agents.filter(({ available }) => available);
  const missing = agents.filter(({ available }) => !available);
  const lookAgain = async () => {
    look.value = "looking";
    try {
      await api(Anything, "POST", `/api/runners/${encodeURIComponent(runnerId)}/agents`);
      look.value = "idle";
    } catch (error) {
      look.value = errorText(error);
    }
  };
  return (
    <fieldset class="agents">
      <legend>Agent</legend>
      {ready.map((agent) => (
        <AgentOption key={agent.id} agent={agent} isChosen={chosen === agent.id} onChoose={onChoose} />
      ))}
      <label class="agent">
        <input type="radio" name="agent" value={CUSTOM} checked={chosen === CUSTOM} onChange={() => onChoose(CUSTOM)} />
        <span>
          Another command <span class="quiet">any agent that speaks ACP</span>
        </span>
      </label>
      <label class="agent">
        <input
          type="radio"
          name="agent"
          value={terminalAgentId}
          checked={chosen === terminalAgentId}
          onChange={() => onChoose(terminalAgentId)}
        />
        <span>
          Any command in a terminal <span class="quiet">any program, as in a terminal of your own</span>
        </span>
      </label>
      {missing.length > 0 && (
        <details class="fold-plain" open={ready.length === 0}>
          <summary>{missing.length} more that are not set up on this machine</summary>
          {missing.map((agent) => <AgentOption key={agent.id} agent={agent} isChosen={false} onChoose={onChoose} />)}
          <button type="button" class="button is-small" disabled={look.value === "looking"} onClick={lookAgain}>
            {look.value === "looking" ? "Looking…" : "Look again"}
          </button>
        </details>
      )}
      {look.value !== "idle" && look.value !== "looking" && <p class="problem" role="alert">{look.value}</p>}
    </fieldset>
  );
}

interface AgentOptionProps {
  agent: AgentInfo;
  isChosen: boolean;
  onChoose: (id: string) => void;
}

/** An agent that cannot be started stays in the list, with what it needs. */
function AgentOption({ agent, isChosen, onChoose }: AgentOptionProps): JSX.Element {
  return (
    <label class={`agent${agent.available ? "" : " is-missing"}`}>
      <input
        type="radio"
        name="agent"
        value={agent.id}
        checked={isChosen}
        disabled={!agent.available}
        onChange={() => onChoose(agent.id)}
      />
      <span>
        {agent.name} {agent.isDemo && <DemoTag />}
        {agent.version && <span class="quiet">{agent.version}</span>}
        {!agent.available && <span class="agent-missing">{agent.missing ?? "Not found on this machine."}</span>}
      </span>
    </label>
  );
}
