/** Models, thinking levels, commands and usage as pi's RPC mode reports them, as meta. Pure. */
import type { MetaPatch, ModelInfo } from "@/protocol/mod.ts";
import { arrayOf, countOf, type JsonObject, objectOf, stringOf } from "./read.ts";
import { commandsOf } from "./acp_config.ts";
import { clip } from "./tool_output.ts";

/** A model object of pi; null when it has no id. */
export function piModel(value: unknown): ModelInfo | null {
  const { id, name, provider, reasoning, contextWindow } = objectOf(value);
  if (typeof id !== "string" || id === "" || id.length > 256) return null;
  const size = countOf(contextWindow);
  return {
    provider: clip(stringOf(provider) ?? "", 128),
    id,
    ...(typeof name === "string" ? { name: clip(name, 256) } : {}),
    ...(typeof reasoning === "boolean" ? { reasoning } : {}),
    ...(size !== undefined && Number.isInteger(size) && size > 0 ? { contextWindow: size } : {}),
  };
}

export function piModels(data: JsonObject): ModelInfo[] {
  return arrayOf(data.models).flatMap((model) => piModel(model) ?? []).slice(0, 1_000);
}

/** Whether the model of this state takes images. */
export function takesImages(model: unknown): boolean {
  return arrayOf(objectOf(model).input).includes("image");
}

export function piThinking(current: unknown, levels: JsonObject): NonNullable<MetaPatch["thinkingLevel"]> | null {
  const names = arrayOf(levels.levels).flatMap((level) => typeof level === "string" && level.length <= 64 ? level : []);
  if (typeof current !== "string" || names.length < 2) return null;
  return { current: clip(current, 64), levels: names.slice(0, 16) };
}

/** get_commands' list: extensions, prompt templates and skills; all are sent as a prompt that begins with a slash. */
export function piCommands(data: JsonObject): NonNullable<MetaPatch["commands"]> {
  return commandsOf(data.commands);
}

/** get_session_stats as usage: tokens of the whole session, and what fills the context now. */
export function piUsage(data: JsonObject): NonNullable<MetaPatch["usage"]> {
  const tokens = objectOf(data.tokens);
  const context = objectOf(data.contextUsage);
  const usage: NonNullable<MetaPatch["usage"]> = {};
  const input = countOf(tokens.input);
  if (input !== undefined) usage.input = input;
  const output = countOf(tokens.output);
  if (output !== undefined) usage.output = output;
  const cacheRead = countOf(tokens.cacheRead);
  if (cacheRead !== undefined) usage.cacheRead = cacheRead;
  const cacheWrite = countOf(tokens.cacheWrite);
  if (cacheWrite !== undefined) usage.cacheWrite = cacheWrite;
  const contextTokens = countOf(context.tokens);
  if (contextTokens !== undefined) usage.contextTokens = contextTokens;
  const contextSize = countOf(context.contextWindow);
  if (contextSize !== undefined) usage.contextSize = contextSize;
  const cost = countOf(data.cost);
  if (cost !== undefined) usage.cost = { amount: cost, currency: "USD" };
  return usage;
}
