/** How an ACP connection begins: initialize, then a conversation that is resumed, loaded or new. */
import { PERCH_VERSION } from "@/protocol/mod.ts";
import { RequestError } from "@agentclientprotocol/sdk";
import type { AcpConnection } from "./acp_connection.ts";
import { AgentStartError } from "./agent.ts";
import { isObject, type JsonObject, objectOf, stringOf } from "./read.ts";

export interface AcpAbilities {
  /** How an earlier conversation is continued; null when it cannot be. Resume is better: it replays nothing. */
  continueBy: "session/resume" | "session/load" | null;
  takesImages: boolean;
  authMethods: unknown;
}

/** Shakes hands. Rejects with AgentStartError when the agent speaks another version of the protocol. */
export async function initialize(
  connection: AcpConnection,
  name: string,
  offers: { files?: boolean; terminals?: boolean },
): Promise<AcpAbilities> {
  const { files = false, terminals = false } = offers;
  const reply = await connection.request("initialize", {
    protocolVersion: 1,
    clientInfo: { name: "perch", title: "Perch", version: PERCH_VERSION },
    clientCapabilities: { fs: { readTextFile: files, writeTextFile: files }, terminal: terminals },
  });
  if (reply.protocolVersion !== 1) {
    throw new AgentStartError(`${name} speaks ACP version ${reply.protocolVersion}, Perch speaks version 1`, "");
  }
  const capabilities = objectOf(reply.agentCapabilities);
  const canResume = isObject(objectOf(capabilities.sessionCapabilities).resume);
  return {
    continueBy: canResume ? "session/resume" : capabilities.loadSession === true ? "session/load" : null,
    takesImages: objectOf(capabilities.promptCapabilities).image === true,
    authMethods: reply.authMethods,
  };
}

/** Opens a new conversation. Rejects with the SDK's RequestError, or AgentStartError when the agent gives it no id. */
export async function newSession(
  connection: AcpConnection,
  name: string,
  cwd: string,
): Promise<{ sessionId: string; reply: JsonObject }> {
  const reply = await connection.request("session/new", { cwd, mcpServers: [] });
  const sessionId = stringOf(reply.sessionId);
  if (!sessionId) throw new AgentStartError(`${name} opened a session without an id`, "");
  return { sessionId, reply };
}

/** Whether the agent gave an answer (rather than the pipe breaking). */
export function isAgentsWord(error: unknown): boolean {
  return error instanceof RequestError || error instanceof AgentStartError;
}
