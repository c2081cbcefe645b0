/**
 * Writes one agent's turns into a session's log: which chunk joins which entry, when an entry closes, what happens to
 * late and left-over things. Agents differ in all of that (reference agents.md §5); this class is where they become equal.
 */
import {
  type EntryBodies,
  type EntryStatus,
  isOpen,
  limits,
  type NoticeBody,
  type ToolCallBody,
  type ToolContent,
} from "@/protocol/mod.ts";
import type { SessionWriter, TurnEnd } from "./agent.ts";
import { fitToolBody } from "./tool_body.ts";
import { appendOutput, clip, emptyOutput, grownBy, showOutput, takeStart, type ToolOutput } from "./tool_output.ts";

/** A message longer than this goes on in a new entry. */
export const maxTextChars = 512 * 1024;
/** Most tool calls whose late updates still find their entry. */
export const maxRememberedTools = 2_000;

/** What an agent said of a tool call. Fields that it did not mention are absent. */
export interface ToolChange {
  toolCallId: string;
  /** The agent announced the call with this (rather than changed it). */
  isStart?: boolean;
  title?: string;
  toolKind?: string;
  toolName?: string;
  status?: EntryStatus;
  input?: unknown;
  /** `replace`: everything printed so far. `append`: what it printed since. */
  output?: { mode: "replace" | "append"; text: string };
  /** Diffs and images; replaces those known before. */
  content?: ToolContent[];
  locations?: { path: string; line?: number }[];
  exitCode?: number | null;
}

interface TextState {
  entryId: string;
  kind: "agent_message" | "thought";
  messageId: string | undefined;
  startedAt: number;
  length: number;
}

interface ToolState {
  entryId: string;
  turn: number;
  status: EntryStatus;
  /** The status was our guess at the end of a turn, not the agent's word. */
  isGuessed: boolean;
  isRejected: boolean;
  startedAt: number;
  endedAt: number | undefined;
  title: string;
  toolKind: string | undefined;
  output: ToolOutput;
  /** What the entry shows as its output now. */
  shown: string;
  body: Omit<ToolCallBody, "output" | "outputCut">;
}

export class Timeline {
  readonly #session: SessionWriter;
  readonly #tools = new Map<string, ToolState>();
  #text: TextState | null = null;
  #turn = 0;

  constructor(session: SessionWriter) {
    this.#session = session;
  }

  beginTurn(): void {
    this.closeText();
    this.#turn++;
  }

  /** Closes every text and tool call that is still open, as the turn's end suggests. */
  endTurn(outcome: TurnEnd["outcome"]): void {
    // What was cut off says so: a message that just ends looks as if the agent had meant it.
    this.closeText(outcome === "cancelled" ? "cancelled" : "completed");
    for (const tool of this.#tools.values()) {
      if (!isOpen(tool.status)) continue;
      tool.isGuessed = true;
      this.#setStatus(tool, tool.isRejected ? "cancelled" : outcome);
      this.#writeTool(tool);
    }
  }

  /** Adds to the message or thought that is being written, or begins one. Chunks with another message id begin a new one. */
  text(kind: "agent_message" | "thought", text: string, messageId?: string): void {
    if (text === "") return;
    const open = this.#text;
    const isSame = open !== null && open.kind === kind &&
      (messageId === undefined || open.messageId === undefined || open.messageId === messageId);
    if (!isSame) this.closeText();
    let rest = text;
    while (rest !== "") {
      const state = this.#text ?? this.#openText(kind, messageId);
      state.messageId ??= messageId;
      const part = takeStart(rest, Math.min(maxTextChars - state.length, limits.deltaChars));
      if (part === "") {
        this.closeText();
        continue;
      }
      this.#session.append(state.entryId, part);
      state.length += part.length;
      rest = rest.slice(part.length);
    }
  }

  /** Whether a message or thought is being written. */
  get hasOpenText(): boolean {
    return this.#text !== null;
  }

  /** Ends the message or thought that is being written; its record then carries the full text. */
  closeText(status: EntryStatus = "completed"): void {
    const open = this.#text;
    if (!open) return;
    this.#text = null;
    const entry = this.#session.entry<"agent_message" | "thought">(open.entryId);
    this.#session.upsert({
      id: open.entryId,
      kind: open.kind,
      head: { status, startedAt: open.startedAt, endedAt: Date.now() },
      body: { text: entry?.body.text ?? "" },
    });
  }

  /** Applies what the agent said of a tool call; returns the id of its entry. */
  tool(change: ToolChange): string {
    let tool = this.#tools.get(change.toolCallId);
    if (!tool || (change.isStart && tool.turn !== this.#turn && !isOpen(tool.status))) {
      this.closeText();
      tool = this.#newTool(change);
      this.#applyChange(tool, change);
      this.#writeTool(tool);
      return tool.entryId;
    }
    const grown = this.#applyChange(tool, change);
    if (grown.isMore) this.#writeTool(tool);
    else if (grown.appended !== "") this.#session.append(tool.entryId, grown.appended);
    return tool.entryId;
  }

  /** Whether the call has been seen. */
  hasTool(toolCallId: string): boolean {
    return this.#tools.has(toolCallId);
  }

  /** Whether the agent has named an input for the call. */
  hasInput(toolCallId: string): boolean {
    const input = this.#tools.get(toolCallId)?.body.input;
    return typeof input === "object" && input !== null ? Object.keys(input).length > 0 : input !== undefined;
  }

  /** A tool call is running now. */
  get hasOpenTool(): boolean {
    for (const tool of this.#tools.values()) if (isOpen(tool.status)) return true;
    return false;
  }

  /** A person rejected the call: if the agent says no more of it, it ends as cancelled. */
  rejectTool(toolCallId: string): void {
    const tool = this.#tools.get(toolCallId);
    if (tool) tool.isRejected = true;
  }

  notice(level: NoticeBody["level"], text: string, detail?: string): void {
    this.closeText();
    const at = Date.now();
    this.#session.upsert({
      id: newEntryId("n"),
      kind: "notice",
      head: { status: "completed", startedAt: at, endedAt: at },
      body: {
        level,
        text: clip(text, 4_000),
        ...(detail === undefined || detail === "" ? {} : { detail: clip(detail, 16_000) }),
      } satisfies EntryBodies["notice"],
    });
  }

  #openText(kind: TextState["kind"], messageId: string | undefined): TextState {
    const startedAt = Date.now();
    const state: TextState = {
      entryId: newEntryId(kind === "thought" ? "th" : "m"),
      kind,
      messageId,
      startedAt,
      length: 0,
    };
    this.#session.upsert({ id: state.entryId, kind, head: { status: "running", startedAt }, body: { text: "" } });
    this.#text = state;
    return state;
  }

  #newTool(change: ToolChange): ToolState {
    const tool: ToolState = {
      entryId: newEntryId("t"),
      turn: this.#turn,
      status: "pending",
      isGuessed: false,
      isRejected: false,
      startedAt: Date.now(),
      endedAt: undefined,
      title: change.title ?? change.toolName ?? "Tool call",
      toolKind: undefined,
      output: emptyOutput,
      shown: "",
      body: { toolCallId: clip(change.toolCallId, 1_000), content: [], locations: [] },
    };
    this.#tools.delete(change.toolCallId);
    this.#tools.set(change.toolCallId, tool);
    if (this.#tools.size > maxRememberedTools) {
      for (const [id, old] of this.#tools) {
        if (isOpen(old.status)) continue;
        this.#tools.delete(id);
        break;
      }
    }
    return tool;
  }

  /** Changes the state; says what of it can travel as a delta and whether anything else changed. */
  #applyChange(tool: ToolState, change: ToolChange): { appended: string; isMore: boolean } {
    let isMore = false;
    const set = <T>(old: T, next: T | undefined, apply: (next: T) => void) => {
      if (next === undefined || JSON.stringify(old) === JSON.stringify(next)) return;
      apply(next);
      isMore = true;
    };
    set(tool.title, change.title ? clip(change.title, limits.titleChars) : undefined, (next) => tool.title = next);
    set(tool.toolKind, change.toolKind, (next) => tool.toolKind = next);
    set(tool.body.toolName, change.toolName, (next) => tool.body.toolName = next);
    set(tool.body.input, change.input, (next) => tool.body.input = next);
    set(tool.body.content, change.content, (next) => tool.body.content = next ?? []);
    set(tool.body.locations, change.locations, (next) => tool.body.locations = next ?? []);
    set(tool.body.exitCode, change.exitCode, (next) => tool.body.exitCode = next);
    let appended = "";
    if (change.output) {
      const isWasOpen = isOpen(tool.status);
      const suffix = change.output.mode === "append"
        ? change.output.text
        : outputGrowth(tool.output, change.output.text);
      if (suffix === null) {
        tool.output = appendOutput(emptyOutput, change.output.text, limits.toolOutputChars);
        isMore = true;
      } else if (suffix !== "") {
        const before = tool.output;
        tool.output = appendOutput(before, suffix, limits.toolOutputChars);
        if (tool.output.cut === 0 && isWasOpen) appended = suffix;
        // Once the middle is cut the entry is written anew, but not for every line of a flood.
        else if (before.cut === 0 || !isWasOpen || tool.output.cut - shownCut(tool) > limits.toolOutputChars) {
          isMore = true;
        }
      }
    }
    if (change.status !== undefined) isMore = this.#takeStatus(tool, change.status) || isMore;
    if (!isMore) tool.shown += appended;
    return { appended: isMore ? "" : appended, isMore };
  }

  /** A final status stays, unless it was our guess and the agent knows better (a cancelled call stays cancelled). */
  #takeStatus(tool: ToolState, status: EntryStatus): boolean {
    if (isOpen(tool.status)) {
      if (tool.status === status) return false;
      this.#setStatus(tool, status);
      return true;
    }
    if (!tool.isGuessed || isOpen(status) || tool.status === "cancelled" || tool.status === status) return false;
    tool.status = status;
    tool.isGuessed = false;
    return true;
  }

  #setStatus(tool: ToolState, status: EntryStatus): void {
    tool.status = status;
    if (!isOpen(status)) tool.endedAt = Date.now();
  }

  #writeTool(tool: ToolState): void {
    tool.shown = showOutput(tool.output);
    this.#session.upsert({
      id: tool.entryId,
      kind: "tool_call",
      head: {
        status: tool.status,
        startedAt: tool.startedAt,
        ...(tool.endedAt === undefined ? {} : { endedAt: tool.endedAt }),
        title: tool.title,
        ...(tool.toolKind === undefined ? {} : { toolKind: tool.toolKind }),
      },
      body: fitToolBody({
        ...tool.body,
        output: tool.shown,
        ...(tool.output.cut > 0 ? { outputCut: tool.output.cut } : {}),
      }),
    });
  }
}

/** Characters that the shown text says are missing. */
function shownCut(tool: ToolState): number {
  return Number(/\n\[… (\d+) characters cut …\]\n/.exec(tool.shown)?.[1] ?? 0);
}

/** What `next` (everything so far) adds to the output; null when it is another text. */
function outputGrowth(output: ToolOutput, next: string): string | null {
  if (output.cut === 0) return grownBy(output.head, next);
  const known = output.head.length + output.cut + output.tail.length;
  const isSame = next.length >= known && next.startsWith(output.head) &&
    next.startsWith(output.tail, known - output.tail.length);
  return isSame ? next.slice(known) : null;
}

/** A fresh entry id; the prefix only helps whoever reads a log. */
export function newEntryId(prefix: string): string {
  return `${prefix}-${crypto.randomUUID()}`;
}
