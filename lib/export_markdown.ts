/** A session's transcript as Markdown for people to read. Pure: one piece of text an entry. */
import { structuredPatch } from "diff";
import {
  type Entry,
  entryBodies,
  type InteractionBody,
  type SessionInfo,
  type SessionMeta,
  type ToolCallBody,
  type ToolContent,
  type UserMessageBody,
} from "@/protocol/mod.ts";

/** Edits beyond which two files are not compared line by line. */
const MAX_EDITS = 4_000;

/** The head of the transcript. */
export function markdownHeader(session: SessionInfo, meta: SessionMeta): string {
  const facts: [string, string | null][] = [
    ["Agent", session.agent.name + (session.agent.isDemo ? " (demo)" : "")],
    ["Model", meta.model === null ? null : meta.model.name ?? meta.model.id],
    ["Folder", code(session.cwd)],
    ["Runner", session.runnerName],
    ["Started", time(session.startedAt)],
    [
      "Ended",
      session.ended === null ? null : `${time(session.ended.at)}, ${session.ended.reason.replaceAll("_", " ")}`,
    ],
    ["Session", code(session.sessionId)],
  ];
  const lines = facts.filter(([, value]) => value !== null).map(([name, value]) => `- ${name}: ${oneLine(value!)}`);
  return `# ${oneLine(meta.title ?? session.sessionName ?? session.cwd)}\n\n${lines.join("\n")}\n\n`;
}

/** Stands for entries that could not be had. */
export function markdownMissing(from: number, to: number, reason: string): string {
  return `> **Entries ${from + 1} to ${to + 1} are not in this export:** ${oneLine(reason)}\n\n`;
}

/** One entry, with its heading. A body that is none of the known ones is shown as JSON. */
export function markdownEntry(entry: Entry): string {
  switch (entry.kind) {
    case "user_message": {
      const body = entryBodies.user_message.safeParse(entry.body);
      return body.success ? userMessage(entry, body.data) : unknownBody(entry);
    }
    case "agent_message": {
      const body = entryBodies.agent_message.safeParse(entry.body);
      return body.success ? section("## Agent", entry, closeFences(body.data.text)) : unknownBody(entry);
    }
    case "thought": {
      const body = entryBodies.thought.safeParse(entry.body);
      return body.success ? section("### Thought", entry, quote(closeFences(body.data.text))) : unknownBody(entry);
    }
    case "tool_call": {
      const body = entryBodies.tool_call.safeParse(entry.body);
      return body.success ? toolCall(entry, body.data) : unknownBody(entry);
    }
    case "interaction": {
      const body = entryBodies.interaction.safeParse(entry.body);
      return body.success ? interaction(entry, body.data) : unknownBody(entry);
    }
    case "notice": {
      const body = entryBodies.notice.safeParse(entry.body);
      if (!body.success) return unknownBody(entry);
      const { level, text, detail } = body.data;
      const shown = quote(`**${level[0]!.toUpperCase()}${level.slice(1)}:** ${closeFences(text)}`);
      return `${shown}\n\n${detail === undefined ? "" : `${fenced(detail)}\n\n`}`;
    }
  }
}

/** A fenced code block whose fence is longer than any inside, so that no content can end it. */
export function fenced(text: string, info = ""): string {
  const fence = "`".repeat(Math.max(3, longestRun(text) + 1));
  return `${fence}${info}\n${text}${text === "" || text.endsWith("\n") ? "" : "\n"}${fence}`;
}

/** The text with its last code block closed when it was left open: it would swallow what follows. */
export function closeFences(text: string): string {
  let open: string | null = null;
  for (const line of text.split("\n")) {
    const fence = /^ {0,3}(`{3,}|~{3,})(.*)$/.exec(line);
    if (fence === null) continue;
    const [, marks = "", rest = ""] = fence;
    if (open === null) {
      if (marks[0] === "~" || !rest.includes("`")) open = marks;
    } else if (marks[0] === open[0] && marks.length >= open.length && rest.trim() === "") open = null;
  }
  return open === null ? text : `${text}${text.endsWith("\n") ? "" : "\n"}${open}`;
}

/** A unified diff; null on a side: there is no such file. */
export function unifiedDiff(path: string, oldText: string | null, newText: string | null): string {
  const name = oneLine(path);
  const header = `--- ${oldText === null ? "/dev/null" : `a/${name}`}\n+++ ${
    newText === null ? "/dev/null" : `b/${name}`
  }\n`;
  const options = { context: 3, maxEditLength: MAX_EDITS };
  const patch = structuredPatch("a", "b", oldText ?? "", newText ?? "", undefined, undefined, options);
  if (patch === undefined) return header + everyLine("-", oldText) + everyLine("+", newText);
  // A side without lines is said to begin before the first one.
  const range = (start: number, lines: number) => `${lines === 0 ? start - 1 : start},${lines}`;
  const hunks = patch.hunks.map(({ oldStart, oldLines, newStart, newLines, lines }) =>
    `@@ -${range(oldStart, oldLines)} +${range(newStart, newLines)} @@\n${lines.join("\n")}\n`
  );
  return header + hunks.join("");
}

function everyLine(mark: string, text: string | null): string {
  if (text === null || text === "") return "";
  return text.replace(/\n$/, "").split("\n").map((line) => `${mark}${line}\n`).join("");
}

function section(heading: string, entry: Entry, text: string): string {
  const { status, startedAt } = entry.head;
  const notes = [
    ...(startedAt > 0 ? [time(startedAt)] : []),
    ...(status === "completed" ? [] : [status]),
  ];
  return `${heading}${notes.length > 0 ? ` · ${notes.join(" · ")}` : ""}\n\n${text === "" ? "" : `${text}\n\n`}`;
}

function userMessage(entry: Entry, { text, attachments = [], from, delivery }: UserMessageBody): string {
  const how = delivery === "steer" ? ", into the running turn" : delivery === "follow_up" ? ", after the turn" : "";
  const files = attachments.map(({ filename, mediaType }) =>
    `- attached: ${oneLine(filename ?? "a file")} (${mediaType})`
  );
  const content = [closeFences(text), files.join("\n")].filter((part) => part !== "").join("\n\n");
  return section(`## ${oneLine(from ?? "User")}${how}`, entry, content);
}

function toolCall(entry: Entry, body: ToolCallBody): string {
  const parts: string[] = [];
  if (body.locations.length > 0) {
    parts.push(body.locations.map(({ path, line }) => code(line === undefined ? path : `${path}:${line}`)).join(", "));
  }
  if (body.input !== undefined) parts.push(`Input:\n\n${anything(body.input)}`);
  if (body.output !== "") {
    const cut = body.outputCut === undefined ? "" : ` (${body.outputCut} characters were cut)`;
    parts.push(`Output${cut}:\n\n${fenced(body.output)}`);
  }
  parts.push(...body.content.map(content));
  if (typeof body.exitCode === "number") parts.push(`Exit code: ${body.exitCode}`);
  return section(
    `### Tool: ${oneLine(entry.head.title ?? body.toolName ?? body.toolCallId)}`,
    entry,
    parts.join("\n\n"),
  );
}

function content(part: ToolContent): string {
  switch (part.type) {
    case "text":
      return fenced(part.text);
    case "diff":
      return fenced(unifiedDiff(part.path, part.oldText, part.newText), "diff");
    case "image":
      return `*An image (${part.mediaType}, ${
        Math.ceil(part.data.length * 3 / 4 / 1024)
      } KiB) is not part of this export.*`;
  }
}

function interaction(entry: Entry, body: InteractionBody): string {
  const name = body.interaction[0]!.toUpperCase() + body.interaction.slice(1);
  const parts: string[] = [];
  if (body.message) parts.push(closeFences(body.message));
  if (body.input !== undefined) parts.push(anything(body.input));
  parts.push(...(body.content ?? []).map(content));
  const { answer, options } = body;
  if (answer === undefined) {
    if (options.length > 0) parts.push(options.map(({ name }) => `- ${oneLine(name)}`).join("\n"));
    parts.push("Not answered.");
  } else {
    const by = answer.by === undefined ? "" : ` by ${oneLine(answer.by)}`;
    const chosen = options.find(({ optionId }) => optionId === answer.optionId)?.name ?? answer.optionId;
    if (answer.outcome === "cancelled") parts.push(`Answer: cancelled${by}`);
    else if (answer.outcome === "selected") parts.push(`Answer: **${oneLine(chosen ?? "an option")}**${by}`);
    else parts.push(`Answer${by}:`);
    if (answer.text) parts.push(quote(closeFences(answer.text)));
  }
  const about = entry.head.title ?? body.toolName;
  return section(`### ${name}${about ? `: ${oneLine(about)}` : ""}`, entry, parts.join("\n\n"));
}

function unknownBody(entry: Entry): string {
  return section(`### ${entry.kind.replaceAll("_", " ")}`, entry, anything(entry.body));
}

function anything(value: unknown): string {
  return typeof value === "string" ? fenced(value) : fenced(JSON.stringify(value, null, 2) ?? "", "json");
}

function quote(text: string): string {
  return text.split("\n").map((line) => line === "" ? ">" : `> ${line}`).join("\n");
}

/** Length of the longest run of backticks. */
function longestRun(text: string): number {
  let longest = 0;
  for (const [run] of text.matchAll(/`+/g)) longest = Math.max(longest, run.length);
  return longest;
}

function code(text: string): string {
  const longest = longestRun(text);
  const marks = "`".repeat(longest + 1);
  return longest > 0 ? `${marks} ${oneLine(text)} ${marks}` : `${marks}${oneLine(text)}${marks}`;
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}

function time(ms: number): string {
  // Beyond what a Date can hold, toISOString throws.
  return ms <= 8.64e15 ? new Date(ms).toISOString().replace(/\.\d+Z$/, "Z") : String(ms);
}
