/** Starts the demo agent with one click. */
import { useSignal } from "@preact/signals";
import * as z from "zod/mini";
import type { JSX } from "preact";
import type { RunnerInfo } from "@/protocol/shared.ts";
import { api, errorText } from "@/client/api.ts";
import { shortPath } from "@/client/format.ts";
import { DemoTag } from "./session_row.tsx";

export const StartedSession = z.object({ sessionId: z.string() });
const DEMO_PROMPT = "Show me what you can do.";

/** A runner that is there and can start the demo agent. */
export function demoRunner(runners: readonly RunnerInfo[]): RunnerInfo | undefined {
  return runners.find(({ isConnected, agents }) =>
    isConnected && agents.some(({ isDemo, available }) => isDemo && available)
  );
}

export function DemoStart({ runners, onNew }: { runners: readonly RunnerInfo[]; onNew: () => void }): JSX.Element {
  const isBusy = useSignal(false);
  const problem = useSignal<string | null>(null);
  const runner = demoRunner(runners);
  const agent = runner?.agents.find(({ isDemo }) => isDemo);
  const cwd = runner?.roots[0];
  const start = async () => {
    if (!runner || !agent || !cwd) return;
    isBusy.value = true;
    problem.value = null;
    try {
      const { sessionId } = await api(StartedSession, "POST", "/api/sessions", {
        runnerId: runner.runnerId,
        cwd,
        agent: { agentId: agent.id },
        prompt: DEMO_PROMPT,
      });
      location.assign(`/session/${encodeURIComponent(sessionId)}`);
    } catch (error) {
      problem.value = errorText(error);
      isBusy.value = false;
    }
  };
  return (
    <>
      <div class="button-row">
        {runner && (
          <button type="button" class="button is-primary" disabled={isBusy.value} onClick={start}>
            {isBusy.value ? "Starting…" : "Start the demo"}
          </button>
        )}
        <button type="button" class="button" onClick={onNew}>New session</button>
      </div>
      {runner && cwd && (
        <p class="quiet">
          <DemoTag /> needs no key and no network. It works in {shortPath(cwd)} on {runner.name}{" "}
          and asks before it writes a file.
        </p>
      )}
      {problem.value && <p class="problem" role="alert">{problem.value}</p>}
    </>
  );
}
