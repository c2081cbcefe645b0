/** Waits for an answer of an agent that may die or stay silent instead. */
import { type AgentExit, AgentStartError } from "./agent.ts";
import { describeExit } from "./exit_text.ts";

/** How long a broken pipe waits for the news of the process's end, which says more. */
const exitNewsMs = 1_000;

/**
 * The result of `work`. Rejects with AgentStartError when the process ends first, with Error after `timeoutMs`; errors of
 * `work` for which `isAnswer` holds are the agent's own word and pass at once.
 */
export async function orExit<T>(
  work: Promise<T>,
  options: { name: string; exited: Promise<AgentExit>; timeoutMs: number; isAnswer(error: unknown): boolean },
): Promise<T> {
  const { name, timeoutMs } = options;
  const timers: ReturnType<typeof setTimeout>[] = [];
  const after = (ms: number) => new Promise<void>((resolve) => timers.push(setTimeout(resolve, ms)));
  const gone = options.exited.then((exit): never => {
    throw new AgentStartError(`${name} ended before it answered (${describeExit(exit)})`, exit.stderrTail);
  });
  const timeout = after(timeoutMs).then((): never => {
    throw new Error(`${name} did not answer within ${Math.round(timeoutMs / 1000)} s`);
  });
  const answer = work.catch(async (error: unknown): Promise<never> => {
    if (!options.isAnswer(error)) await Promise.race([gone, after(exitNewsMs)]);
    throw error;
  });
  for (const promise of [gone, timeout, answer]) promise.catch(() => {});
  try {
    return await Promise.race([answer, gone, timeout]);
  } finally {
    for (const timer of timers) clearTimeout(timer);
  }
}
