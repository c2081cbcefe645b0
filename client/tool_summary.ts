/** What a tool call's one line says. Pure. */
import type { EntryHead, ToolCallBody } from "@/protocol/entry.ts";
import { relativePath } from "./format.ts";

export interface ToolSummary {
  /** What was done: the agent's title, or the tool's name. */
  title: string;
  /** The file that it was done to, when the title does not already say so. */
  target: string | null;
}

const VERBS: Record<string, string> = {
  read: "Read",
  edit: "Edit",
  delete: "Delete",
  move: "Move",
  search: "Search",
  execute: "Run",
  think: "Think",
  fetch: "Fetch",
};

export function toolSummary(head: EntryHead, body: ToolCallBody, cwd: string): ToolSummary {
  const path = body.locations[0]?.path ?? body.content.find((content) => content.type === "diff")?.path;
  const verb = VERBS[head.toolKind ?? ""] ?? body.toolName ?? "Tool";
  const title = (head.title || verb).split("\n", 1)[0]!;
  const target = path === undefined || path === cwd ? null : relativePath(path, cwd);
  if (path === undefined || target === null) return { title, target: null };
  const isSaid = title.includes(path) || title.includes(target);
  return { title: isSaid ? title.replaceAll(path, target) : title, target: isSaid ? null : target };
}

/** A tool's input as text: a command line as it is, anything else as JSON. Null when there is none. */
export function inputText(input: unknown): string | null {
  if (input === undefined || input === null) return null;
  if (typeof input === "string") return input;
  const { command } = input as { command?: unknown };
  const keys = Object.keys(input as object);
  if (keys.length === 0) return null;
  if (typeof command === "string" && keys.every((key) => ["command", "description", "timeout", "cwd"].includes(key))) {
    return command;
  }
  return JSON.stringify(input, null, 2);
}

/** Control sequences that terminals colour their output with; the timeline shows plain text. */
export function stripAnsi(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-_])/g, "");
}
