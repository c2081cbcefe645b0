/**
 * Translates the events of pi's RPC mode (docs: json.md and rpc-extension-ui.md of pi 1.5; reference agents.md §4) into what
 * the timeline and the meta need. Pure.
 */
import type { EntryStatus, InteractionBody, MetaPatch, NoticeBody, ToolContent } from "@/protocol/mod.ts";
import { limits } from "@/protocol/mod.ts";
import { arrayOf, countOf, integerOf, type JsonObject, objectOf, stringOf } from "./read.ts";
import type { ToolChange } from "./timeline.ts";
import { clip } from "./tool_output.ts";

export type PiAction =
  | { type: "text"; kind: "agent_message" | "thought"; text: string; key: string }
  /** A message is complete. `error` is set when the model server failed. */
  | { type: "message_end"; status: EntryStatus; error?: string; fullText: string }
  | { type: "message_start" }
  | { type: "tool"; change: ToolChange }
  | { type: "meta"; patch: MetaPatch }
  | { type: "usage"; usage: NonNullable<MetaPatch["usage"]> }
  | { type: "thinking_level"; level: string }
  | { type: "notice"; level: NoticeBody["level"]; text: string }
  | { type: "dialog"; dialog: PiDialog }
  | { type: "run_started" }
  /** One low-level run ended; the turn may go on. */
  | { type: "run_ended"; willRetry: boolean }
  | { type: "retry"; message: string; attempt?: number }
  | { type: "retry_ended"; error?: string }
  /** The turn's real end. */
  | { type: "settled"; isAborted: boolean }
  | { type: "ignored"; kind: string };

/** A dialog of an extension that waits for an answer. */
export interface PiDialog {
  id: string;
  method: "select" | "confirm" | "input" | "editor";
  title: string;
  body: InteractionBody;
  /** The option texts of a select, by option id. */
  values: Map<string, string>;
  /** After this time pi answers it itself. */
  timeoutMs?: number;
}

/** Translates one record that is not a `response`. */
export function translatePiEvent(event: JsonObject): PiAction[] {
  const kind = stringOf(event.type) ?? "";
  switch (kind) {
    case "agent_start":
      return [{ type: "run_started" }];
    case "agent_end":
      return [{ type: "run_ended", willRetry: event.willRetry === true }];
    case "agent_settled":
      return [{ type: "settled", isAborted: event.aborted === true }];
    case "message_start":
      return [{ type: "message_start" }];
    case "message_update":
      return updateActions(objectOf(event.assistantMessageEvent));
    case "message_end":
      return endActions(objectOf(event.message));
    case "tool_execution_start":
      return toolActions(event, { isStart: true, status: "running" });
    case "tool_execution_update": {
      const result = resultOf(event.partialResult);
      // Everything printed so far, again with each update.
      return toolActions(event, result.text === "" ? {} : { output: { mode: "replace", text: result.text } });
    }
    case "tool_execution_end":
      return toolActions(event, endOfTool(event));
    case "auto_retry_start": {
      const attempt = integerOf(event.attempt);
      const message = clip(stringOf(event.errorMessage) ?? "the model server failed", 2_000);
      return [{ type: "retry", message, ...(attempt === undefined ? {} : { attempt }) }];
    }
    case "auto_retry_end": {
      const error = event.success === false ? stringOf(event.finalError) : undefined;
      return [{ type: "retry_ended", ...(error === undefined ? {} : { error }) }];
    }
    case "compaction_start":
    case "auto_compaction_start":
      return [{ type: "meta", patch: { isCompacting: true } }];
    case "compaction_end":
    case "auto_compaction_end": {
      const error = stringOf(event.errorMessage);
      return [
        { type: "meta", patch: { isCompacting: false } },
        ...(error
          ? [{
            type: "notice" as const,
            level: "warning" as const,
            text: `The conversation was not compacted: ${error}`,
          }]
          : event.aborted === true
          ? []
          : [{ type: "notice" as const, level: "info" as const, text: "The conversation was compacted." }]),
      ];
    }
    case "thinking_level_changed": {
      const level = stringOf(event.level);
      return level === undefined ? [] : [{ type: "thinking_level", level }];
    }
    case "session_info_changed": {
      const title = (stringOf(event.name) ?? stringOf(event.sessionName))?.trim();
      return title ? [{ type: "meta", patch: { title: clip(title, limits.titleChars) } }] : [];
    }
    case "extension_ui_request":
      return uiActions(event);
    case "extension_error": {
      const error = stringOf(event.error) ?? "unknown error";
      return [{ type: "notice", level: "warning", text: `An extension of pi failed: ${error}` }];
    }
    // The person's queue is the host's; turns inside a run, queue echoes and session entries add nothing.
    case "turn_start":
    case "turn_end":
    case "queue_update":
    case "entry_appended":
    case "bash_execution_update":
      return [];
    default:
      return [{ type: "ignored", kind }];
  }
}

function updateActions(event: JsonObject): PiAction[] {
  const key = String(integerOf(event.contentIndex) ?? 0);
  const delta = stringOf(event.delta) ?? "";
  switch (event.type) {
    case "text_delta":
      return [{ type: "text", kind: "agent_message", text: delta, key }];
    case "thinking_delta":
      return [{ type: "text", kind: "thought", text: delta, key }];
    case "toolcall_start": {
      const toolCallId = stringOf(event.id);
      const toolName = stringOf(event.toolName);
      if (toolCallId === undefined || toolName === undefined) return [];
      return [{
        type: "tool",
        change: { toolCallId, isStart: true, status: "pending", ...describeTool(toolName, {}) },
      }];
    }
    case "toolcall_end": {
      const { id, name, arguments: args } = objectOf(event.toolCall);
      if (typeof id !== "string" || typeof name !== "string") return [];
      return [{ type: "tool", change: { toolCallId: id, input: args, ...describeTool(name, objectOf(args)) } }];
    }
    default:
      return [];
  }
}

function endActions(message: JsonObject): PiAction[] {
  if (message.role === "custom" && message.display !== false) {
    const text = resultOf(message).text || (stringOf(message.content) ?? "");
    return text === "" ? [] : [{ type: "notice", level: "info", text }];
  }
  if (message.role !== "assistant") return [];
  const reason = stringOf(message.stopReason);
  const error = reason === "error"
    ? clip(stringOf(message.errorMessage) ?? "the model server failed", 4_000)
    : undefined;
  const status = reason === "error" ? "failed" : reason === "aborted" ? "cancelled" : "completed";
  const usage = objectOf(message.usage);
  const contextTokens = countOf(usage.totalTokens);
  return [
    { type: "message_end", status, fullText: resultOf(message).text, ...(error === undefined ? {} : { error }) },
    ...(contextTokens ? [{ type: "usage" as const, usage: { contextTokens } }] : []),
    ...(reason === "length"
      ? [{ type: "notice" as const, level: "warning" as const, text: "The answer reached the model's length limit." }]
      : []),
  ];
}

function toolActions(event: JsonObject, change: Omit<ToolChange, "toolCallId">): PiAction[] {
  const toolCallId = stringOf(event.toolCallId);
  if (toolCallId === undefined) return [];
  const args = event.args === undefined ? {} : { input: event.args };
  const described = typeof event.toolName === "string" && event.args !== undefined
    ? describeTool(event.toolName, objectOf(event.args))
    : {};
  return [{ type: "tool", change: { toolCallId, ...args, ...described, ...change } }];
}

function endOfTool(event: JsonObject): Omit<ToolChange, "toolCallId"> {
  const result = resultOf(event.result);
  const structured = objectOf(objectOf(event.result).structuredContent);
  const said = /Command exited with code (\d+)\s*$/.exec(result.text)?.[1];
  const exitCode = integerOf(structured.exit_code) ?? (said === undefined ? undefined : Number(said));
  return {
    status: event.isError === true ? "failed" : "completed",
    ...(result.text === "" ? {} : { output: { mode: "replace" as const, text: result.text } }),
    ...(result.images.length === 0 ? {} : { content: result.images }),
    ...(exitCode === undefined ? {} : { exitCode }),
  };
}

/** Text and images of a result or message. */
function resultOf(value: unknown): { text: string; images: ToolContent[] } {
  const texts: string[] = [];
  const images: ToolContent[] = [];
  for (const item of arrayOf(objectOf(value).content)) {
    const { type, text, data, mimeType } = objectOf(item);
    if (type === "text" && typeof text === "string") texts.push(text);
    else if (type === "image" && typeof data === "string") {
      images.push({ type: "image", mediaType: stringOf(mimeType) ?? "image/png", data });
    }
  }
  return { text: texts.join("\n"), images };
}

/** Title, kind, places and diffs of a call to one of pi's own tools; other tools go by their name. */
export function describeTool(toolName: string, args: JsonObject): Omit<ToolChange, "toolCallId"> {
  const path = stringOf(args.path) ?? stringOf(args.file_path);
  const kinds: Record<string, string> = {
    bash: "execute",
    read: "read",
    write: "edit",
    edit: "edit",
    grep: "search",
    find: "search",
    ls: "search",
  };
  const command = stringOf(args.command);
  const subject = command ?? path ?? stringOf(args.pattern);
  const title = command !== undefined
    ? command.split("\n")[0] ?? command
    : subject
    ? `${toolName} ${subject}`
    : toolName;
  const diffs = path === undefined ? [] : diffsOf(toolName, path, args);
  return {
    toolName,
    title: clip(title, limits.titleChars),
    toolKind: Object.hasOwn(kinds, toolName) ? kinds[toolName] ?? "other" : "other",
    ...(path === undefined ? {} : { locations: [{ path }] }),
    ...(diffs.length === 0 ? {} : { content: diffs }),
  };
}

function diffsOf(toolName: string, path: string, args: JsonObject): ToolContent[] {
  if (toolName === "write" && typeof args.content === "string") {
    return [{ type: "diff", path, oldText: null, newText: args.content }];
  }
  if (toolName !== "edit") return [];
  const edits = Array.isArray(args.edits) ? args.edits : [args];
  return edits.flatMap((edit) => {
    const { oldText, newText } = objectOf(edit);
    if (typeof oldText !== "string" || typeof newText !== "string") return [];
    return [{ type: "diff" as const, path, oldText, newText }];
  });
}

function uiActions(event: JsonObject): PiAction[] {
  const method = stringOf(event.method) ?? "";
  const id = stringOf(event.id);
  switch (method) {
    case "select":
    case "confirm":
    case "input":
    case "editor":
      return id === undefined ? [] : [{ type: "dialog", dialog: dialogOf(id, method, event) }];
    case "notify": {
      const level = event.notifyType === "warning" || event.notifyType === "error" ? event.notifyType : "info";
      const text = stringOf(event.message) ?? "";
      return text === "" ? [] : [{ type: "notice", level, text }];
    }
    // Status lines, widgets and window titles decorate a terminal that is not there.
    default:
      return [{ type: "ignored", kind: `extension_ui_request ${method}` }];
  }
}

function dialogOf(id: string, method: PiDialog["method"], event: JsonObject): PiDialog {
  const [title = "", ...rest] = (stringOf(event.title) ?? "").split("\n");
  const message = [rest.join("\n").trim(), stringOf(event.message) ?? ""].filter((text) => text !== "").join("\n\n");
  const timeoutMs = countOf(event.timeout);
  const values = new Map<string, string>();
  const base = { ...(message === "" ? {} : { message: clip(message, 20_000) }) };
  let body: InteractionBody;
  if (method === "select") {
    const names = arrayOf(event.options).map(String).slice(0, 100);
    names.forEach((name, place) => values.set(String(place), name));
    const kinds = names.map(optionKind);
    const isPermission = kinds.length > 0 && kinds.every((kind) => kind !== undefined);
    body = {
      ...base,
      interaction: isPermission ? "permission" : "question",
      options: names.map((name, place) => {
        const kind = isPermission ? kinds[place] : undefined;
        return { optionId: String(place), name: clip(name, 500), ...(kind === undefined ? {} : { kind }) };
      }),
    };
  } else if (method === "confirm") {
    body = {
      ...base,
      interaction: "confirm",
      options: [{ optionId: "yes", name: "Yes" }, { optionId: "no", name: "No" }],
    };
  } else {
    const prefill = stringOf(event.prefill);
    const placeholder = stringOf(event.placeholder);
    body = {
      ...base,
      ...(message === "" && placeholder ? { message: clip(placeholder, 2_000) } : {}),
      interaction: "input",
      options: [],
      acceptsText: true,
      ...(prefill === undefined ? {} : { prefill: clip(prefill, limits.promptChars) }),
    };
  }
  return { id, method, title: title || method, body, values, ...(timeoutMs === undefined ? {} : { timeoutMs }) };
}

/** pi's dialogs have texts only: a choice of allow and deny words is a permission. */
function optionKind(name: string): "allow_once" | "allow_always" | "reject_once" | "reject_always" | undefined {
  const isAlways = /\balways\b|\bsession\b|\bnever\b/i.test(name);
  if (/^(allow|approve|yes|accept)\b/i.test(name)) return isAlways ? "allow_always" : "allow_once";
  if (/^(deny|block|reject|no|never|disallow)\b/i.test(name)) return isAlways ? "reject_always" : "reject_once";
  return undefined;
}
