/** How a process ended, in words. Pure. */
import type { AgentExit } from "./agent.ts";

export function describeExit(exit: Pick<AgentExit, "code" | "signal">): string {
  return exit.signal ? `signal ${exit.signal}` : `exit code ${exit.code ?? "unknown"}`;
}
