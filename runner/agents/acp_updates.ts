/**
 * Translates ACP's `session/update` notifications into what the timeline and the meta need. Pure, and tolerant: agents send
 * kinds, fields and orders that the specification does not name (reference agents.md §4 and §5).
 */
import type { EntryStatus, MetaPatch, ToolContent } from "@/protocol/mod.ts";
import { limits } from "@/protocol/mod.ts";
import { commandsOf } from "./acp_config.ts";
import { arrayOf, countOf, integerOf, isObject, type JsonObject, objectOf, stringOf } from "./read.ts";
import type { ToolChange } from "./timeline.ts";
import { clip } from "./tool_output.ts";

export type AcpEvent =
  | { type: "text"; kind: "agent_message" | "thought"; text: string; messageId?: string }
  /** A person's own words: only in replays, where the journal has them already. */
  | { type: "user_text" }
  | { type: "tool"; change: ToolChange; terminalIds: string[] }
  | { type: "meta"; patch: MetaPatch }
  | { type: "mode"; modeId: string }
  /** The agent's full list of options, as it stands now. */
  | { type: "config"; configOptions: unknown[] }
  | { type: "notice"; level: "info" | "warning" | "error"; text: string }
  | { type: "ignored"; kind: string };

/** What a translation must know of earlier updates. */
export interface UpdateMemory {
  /** Whether an input is known for the call. */
  hasInput(toolCallId: string): boolean;
}

/** Translates the `update` of one `session/update`. */
export function translateUpdate(update: unknown, memory: UpdateMemory): AcpEvent {
  const fields = objectOf(update);
  const kind = stringOf(fields.sessionUpdate) ?? "";
  switch (kind) {
    case "agent_message_chunk":
    case "agent_thought_chunk": {
      const messageId = stringOf(fields.messageId);
      return {
        type: "text",
        kind: kind === "agent_message_chunk" ? "agent_message" : "thought",
        text: textOfBlock(fields.content),
        ...(messageId === undefined ? {} : { messageId }),
      };
    }
    case "user_message_chunk":
      return { type: "user_text" };
    case "tool_call":
    case "tool_call_update":
      return stringOf(fields.toolCallId) === undefined
        ? { type: "ignored", kind: `${kind} without toolCallId` }
        : toolEvent(fields, kind === "tool_call", memory);
    case "plan":
      return { type: "meta", patch: { plan: planOf(fields.entries) } };
    case "available_commands_update":
      return { type: "meta", patch: { commands: commandsOf(fields.availableCommands) } };
    case "current_mode_update": {
      const modeId = stringOf(fields.currentModeId);
      return modeId === undefined ? { type: "ignored", kind } : { type: "mode", modeId };
    }
    case "config_option_update":
      return Array.isArray(fields.configOptions)
        ? { type: "config", configOptions: fields.configOptions }
        : { type: "ignored", kind };
    case "session_info_update": {
      const title = stringOf(fields.title)?.trim();
      return title ? { type: "meta", patch: { title: clip(title, limits.titleChars) } } : { type: "ignored", kind };
    }
    case "usage_update":
      return { type: "meta", patch: { usage: usageOf(fields) } };
    case "notice": {
      const level = fields.level === "error" || fields.level === "warning" ? fields.level : "info";
      const text = stringOf(fields.message) ?? textOfBlock(fields.content);
      return text === "" ? { type: "ignored", kind } : { type: "notice", level, text };
    }
    case "compaction_update": {
      const status = stringOf(fields.status);
      return { type: "meta", patch: { isCompacting: status === "in_progress" || status === "started" } };
    }
    default:
      return { type: "ignored", kind };
  }
}

/** The toolCall of a permission request. It may be the first sight of the call, and never overrides what is known better. */
export function permissionToolChange(toolCall: unknown, memory: UpdateMemory, isKnown: boolean): ToolChange {
  const fields = objectOf(toolCall);
  const contents = contentsOf(fields.content);
  const toolCallId = stringOf(fields.toolCallId) ?? "";
  const change: ToolChange = { toolCallId };
  if (fields.rawInput !== undefined && !memory.hasInput(toolCallId)) change.input = fields.rawInput;
  if (contents.content.length > 0) change.content = contents.content;
  if (isKnown) return change;
  const title = stringOf(fields.title);
  const toolKind = stringOf(fields.kind);
  const locations = locationsOf(fields.locations);
  return {
    ...change,
    isStart: true,
    status: "pending",
    ...(title === undefined ? {} : { title }),
    ...(toolKind === undefined ? {} : { toolKind: clip(toolKind, 32) }),
    ...(locations === undefined ? {} : { locations }),
  };
}

function toolEvent(fields: JsonObject, isStart: boolean, memory: UpdateMemory): AcpEvent {
  const toolCallId = stringOf(fields.toolCallId) ?? "";
  const meta = objectOf(fields._meta);
  const status = statusOf(fields.status);
  const contents = contentsOf(fields.content);
  const change: ToolChange = { toolCallId };
  if (isStart) change.isStart = true;
  const title = stringOf(fields.title);
  if (title) change.title = title;
  const toolKind = stringOf(fields.kind);
  if (toolKind) change.toolKind = clip(toolKind, 32);
  const toolName = stringOf(objectOf(meta.claudeCode).toolName);
  if (toolName) change.toolName = toolName;
  if (status) change.status = status;
  else if (isStart) change.status = "pending";
  if (fields.rawInput !== undefined && fields.rawInput !== null) change.input = fields.rawInput;
  if (contents.content.length > 0) change.content = contents.content;
  const locations = locationsOf(fields.locations);
  if (locations) change.locations = locations;
  const output = outputOf(fields, contents.text, status, memory.hasInput(toolCallId));
  if (output) change.output = output;
  const exitCode = exitCodeOf(fields.rawOutput, meta);
  if (exitCode !== undefined) change.exitCode = exitCode;
  return { type: "tool", change, terminalIds: contents.terminalIds };
}

/**
 * What the tool printed, by the agent's own way of telling: a delta in `_meta` (pi-acp, Codex), the text so far in
 * `content` (opencode, Copilot), or only at the end. Kimi streams the *arguments* as content until they are complete.
 */
function outputOf(
  fields: JsonObject,
  text: string,
  status: EntryStatus | undefined,
  isInputKnown: boolean,
): ToolChange["output"] {
  const meta = objectOf(fields._meta);
  for (const key of ["terminal_output", "terminal_output_delta"]) {
    const delta = objectOf(meta[key]);
    const data = stringOf(delta.data) ?? stringOf(delta.delta) ?? stringOf(delta.output) ?? stringOf(meta[key]);
    if (data) return { mode: "append", text: data };
  }
  const isFinal = status === "completed" || status === "failed";
  if (text !== "") {
    if (!isFinal && isArguments(text, fields.rawInput, isInputKnown)) return undefined;
    return { mode: "replace", text };
  }
  const raw = isFinal ? rawOutputText(fields.rawOutput) : "";
  return raw === "" ? undefined : { mode: "replace", text: raw };
}

function isArguments(text: string, rawInput: unknown, isInputKnown: boolean): boolean {
  if (rawInput !== undefined) return text === JSON.stringify(rawInput);
  return !isInputKnown && text.startsWith('{"');
}

function rawOutputText(rawOutput: unknown): string {
  if (typeof rawOutput === "string") return rawOutput;
  const fields = objectOf(rawOutput);
  for (const key of ["output", "formatted_output", "aggregated_output", "content"]) {
    const text = stringOf(fields[key]);
    if (text) return text;
  }
  return "";
}

function exitCodeOf(rawOutput: unknown, meta: JsonObject): number | undefined {
  const fromTerminal = integerOf(objectOf(meta.terminal_exit).exit_code);
  if (fromTerminal !== undefined) return fromTerminal;
  const fields = objectOf(rawOutput);
  const metadata = objectOf(fields.metadata);
  const direct = integerOf(fields.exitCode) ?? integerOf(fields.exit_code) ?? integerOf(metadata.exit) ??
    integerOf(metadata.exitCode);
  if (direct !== undefined) return direct;
  for (const content of arrayOf(fields.contents)) {
    const code = integerOf(objectOf(content).exitCode);
    if (code !== undefined) return code;
  }
  return undefined;
}

function statusOf(status: unknown): EntryStatus | undefined {
  switch (status) {
    case "pending":
    case "completed":
    case "failed":
    case "cancelled":
      return status;
    case "in_progress":
      return "running";
    default:
      return undefined;
  }
}

function locationsOf(value: unknown): { path: string; line?: number }[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const locations: { path: string; line?: number }[] = [];
  for (const item of value) {
    const path = stringOf(objectOf(item).path);
    const line = integerOf(objectOf(item).line);
    if (path !== undefined) locations.push({ path, ...(line === undefined ? {} : { line }) });
  }
  return locations.length > 0 ? locations : undefined;
}

/** The contents of a tool call: its text as one stream, diffs and images as contents, terminals by id. */
export function contentsOf(value: unknown): { text: string; content: ToolContent[]; terminalIds: string[] } {
  const texts: string[] = [];
  const content: ToolContent[] = [];
  const terminalIds: string[] = [];
  for (const item of arrayOf(value)) {
    const fields = objectOf(item);
    if (fields.type === "diff" && typeof fields.path === "string") {
      content.push({
        type: "diff",
        path: fields.path,
        oldText: stringOf(fields.oldText) ?? null,
        newText: stringOf(fields.newText) ?? null,
      });
    } else if (fields.type === "terminal" && typeof fields.terminalId === "string") {
      terminalIds.push(fields.terminalId);
    } else if (fields.type === "content") {
      const block = objectOf(fields.content);
      const data = stringOf(block.data);
      if (block.type === "image" && data !== undefined) {
        content.push({ type: "image", mediaType: stringOf(block.mimeType) ?? "image/png", data });
      } else {
        const text = textOfBlock(block);
        if (text !== "") texts.push(text);
      }
    }
  }
  return { text: texts.join("\n"), content, terminalIds };
}

/** A content block as text; what is no text is named in one line. */
export function textOfBlock(value: unknown): string {
  if (!isObject(value)) return "";
  switch (value.type) {
    case "text":
      return stringOf(value.text) ?? "";
    case "resource_link":
      return `[${stringOf(value.title) ?? stringOf(value.name) ?? "link"}](${stringOf(value.uri) ?? ""})`;
    case "resource": {
      const resource = objectOf(value.resource);
      return stringOf(resource.text) ?? `[${stringOf(resource.uri) ?? "resource"}]`;
    }
    case "image":
    case "audio":
      return `[${value.type}: ${stringOf(value.mimeType) ?? "unknown type"}]`;
    default:
      return "";
  }
}

function planOf(value: unknown): NonNullable<MetaPatch["plan"]> {
  return arrayOf(value).slice(0, 200).map((item) => {
    const { content, priority, status } = objectOf(item);
    return {
      content: clip(stringOf(content) ?? "", 4_000),
      ...(priority === "high" || priority === "medium" || priority === "low" ? { priority } : {}),
      status: status === "in_progress" || status === "completed" || status === "cancelled" ? status : "pending",
    };
  });
}

function usageOf(fields: JsonObject): NonNullable<MetaPatch["usage"]> {
  const used = countOf(fields.used);
  const size = countOf(fields.size);
  const cost = objectOf(fields.cost);
  const amount = countOf(cost.amount);
  return {
    ...(used === undefined ? {} : { contextTokens: used }),
    ...(size === undefined ? {} : { contextSize: size }),
    ...(amount === undefined ? {} : { cost: { amount, currency: clip(stringOf(cost.currency) ?? "USD", 8) } }),
  };
}

/** The token counts that some agents put into the reply to a prompt; null when it has none. */
export function turnUsage(value: unknown): NonNullable<MetaPatch["usage"]> | null {
  const fields = objectOf(value);
  const usage: NonNullable<MetaPatch["usage"]> = {};
  const input = countOf(fields.inputTokens);
  if (input !== undefined) usage.input = input;
  const output = countOf(fields.outputTokens);
  if (output !== undefined) usage.output = output;
  const cacheRead = countOf(fields.cachedReadTokens);
  if (cacheRead !== undefined) usage.cacheRead = cacheRead;
  const cacheWrite = countOf(fields.cachedWriteTokens);
  if (cacheWrite !== undefined) usage.cacheWrite = cacheWrite;
  return Object.keys(usage).length > 0 ? usage : null;
}
