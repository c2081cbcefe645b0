/** Errors of ACP agents as sentences for people. Pure. */
import { RequestError } from "@agentclientprotocol/sdk";
import { AgentStartError } from "./agent.ts";
import { arrayOf, objectOf, stringOf } from "./read.ts";
import { clip } from "./tool_output.ts";

export interface AcpError {
  code: number;
  message: string;
  data?: unknown;
}

/** The error's message with whatever its data adds (agents put the real reason there: "Internal error" says nothing). */
export function errorText(error: AcpError): string {
  const data = objectOf(error.data);
  const reason = [
    typeof error.data === "string" ? error.data : undefined,
    stringOf(data.details),
    stringOf(data.message),
    stringOf(data.error),
    stringOf(objectOf(data.error).message),
    stringOf(data.reason),
  ].find((text) => text !== undefined && text !== "" && text !== error.message);
  const message = error.message.trim() || `error ${error.code}`;
  return clip(reason === undefined ? message : `${message}: ${reason}`, 2_000);
}

/** All of the error, for whoever unfolds the notice. */
export function errorDetail(error: AcpError): string {
  return clip(JSON.stringify(error, null, 2), 8_000);
}

/** ACP's code for "sign in first". */
export const authRequired = -32000;

/** What to do when the agent wants its user to sign in, from the methods that `initialize` listed. */
export function signInHint(agentName: string, error: AcpError, authMethods: unknown): string {
  const methods = arrayOf(authMethods).flatMap((method) => stringOf(objectOf(method).name) ?? []);
  const how = methods.length > 0 ? ` (it offers: ${methods.slice(0, 6).join(", ")})` : "";
  return `${agentName} is not signed in: ${
    errorText(error)
  }. Sign in with its own command in a terminal on this machine${how}, then start the session again.`;
}

/** What to say of a turn that ended in an unusual way; null for the usual. */
export function stopRemark(name: string, reason: string | undefined, hasOutput: boolean): string | null {
  if (reason === "max_tokens") return `${name} stopped: the answer reached the model's length limit.`;
  if (reason === "max_turn_requests") return `${name} stopped: it made as many model requests as one turn may have.`;
  if (reason === "refusal") return `${name} refused to go on with this conversation.`;
  // Some agents end so after an error of the model server (pi-acp on 401, Kimi on 400).
  return hasOutput ? null : `${name} ended its turn without an answer.`;
}

/** Why the handshake failed, as a sentence. */
export function startErrorText(name: string, error: unknown): string {
  if (error instanceof AgentStartError) return error.message;
  if (error instanceof RequestError) return `${name} refused to start a session: ${errorText(error)}`;
  return error instanceof Error ? error.message : `${name} could not start: ${String(error)}`;
}
