/** A SessionWriter that keeps its log in memory, checks every write against the wire's schemas and materialises a timeline. */
import {
  entryBodies,
  EntryHead,
  type EntryKind,
  initialMeta,
  isOpen,
  limits,
  MetaPatch,
  patchMeta,
  type SessionMeta,
  streamField,
} from "@/protocol/mod.ts";
import type { AgentContext, EntryDraft, SessionWriter } from "@/runner/agents/agent.ts";

export type LogItem =
  | { type: "upsert"; draft: EntryDraft }
  | { type: "append"; entryId: string; text: string }
  | { type: "meta"; patch: MetaPatch };

interface Watcher {
  isMet(session: MemorySession): boolean;
  resolve(): void;
}

export class MemorySession implements SessionWriter {
  readonly log: LogItem[] = [];
  readonly #entries = new Map<string, EntryDraft>();
  #meta: SessionMeta = initialMeta();
  #watchers: Watcher[] = [];

  upsert<K extends EntryKind>(draft: EntryDraft<K>): void {
    const body = entryBodies[draft.kind].parse(draft.body);
    const field = streamField(draft.kind);
    const textLength = field === null ? 0 : String(Reflect.get(body, field)).length;
    EntryHead.parse({ ...draft.head, textLength });
    const size = new TextEncoder().encode(JSON.stringify(draft)).byteLength;
    if (size > limits.entryBytes) throw new Error(`entry ${draft.id} has ${size} bytes`);
    const known = this.#entries.get(draft.id);
    if (known && known.kind !== draft.kind) throw new Error(`entry ${draft.id} changed its kind`);
    const copy = structuredClone(draft);
    this.#entries.set(draft.id, copy);
    this.#record({ type: "upsert", draft: structuredClone(copy) });
  }

  append(entryId: string, text: string): void {
    const entry = this.#entries.get(entryId);
    if (!entry) throw new Error(`append to unknown entry ${entryId}`);
    if (!isOpen(entry.head.status)) throw new Error(`append to closed entry ${entryId}`);
    const field = streamField(entry.kind);
    if (field === null) throw new Error(`append to a ${entry.kind}`);
    if (text.length > limits.deltaChars) throw new Error(`delta of ${text.length} characters`);
    Reflect.set(entry.body, field, Reflect.get(entry.body, field) + text);
    this.#record({ type: "append", entryId, text });
  }

  // The id alone does not tell the kind: whoever asks for one knows it.
  entry<K extends EntryKind>(entryId: string): EntryDraft<K> | undefined {
    return structuredClone(this.#entries.get(entryId)) as EntryDraft<K> | undefined;
  }

  openEntryIds(): string[] {
    return [...this.#entries.values()].filter((entry) => isOpen(entry.head.status)).map((entry) => entry.id);
  }

  patchMeta(patch: MetaPatch): void {
    this.#meta = patchMeta(this.#meta, MetaPatch.parse(patch));
    this.#record({ type: "meta", patch: structuredClone(patch) });
  }

  meta(): SessionMeta {
    return structuredClone(this.#meta);
  }

  /** The timeline as it stands. */
  timeline(): EntryDraft[] {
    return structuredClone([...this.#entries.values()]);
  }

  /** The entries of one kind. */
  of<K extends EntryKind>(kind: K): EntryDraft<K>[] {
    return this.timeline().filter((entry) => entry.kind === kind) as EntryDraft<K>[];
  }

  /** All that the agent said, messages joined by a line break. */
  text(): string {
    return this.of("agent_message").map((entry) => entry.body.text).join("\n");
  }

  /** Resolves when `isMet` holds; checked after every write. Rejects after `timeoutMs`, showing the timeline. */
  async until(what: string, isMet: (session: MemorySession) => boolean, timeoutMs = 30_000): Promise<void> {
    if (isMet(this)) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const watcher: Watcher = { isMet, resolve };
    this.#watchers.push(watcher);
    const timer = setTimeout(() => {
      reject(new Error(`waited ${timeoutMs} ms for ${what}; timeline: ${JSON.stringify(this.timeline(), null, 1)}`));
    }, timeoutMs);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#watchers = this.#watchers.filter((other) => other !== watcher);
    }
  }

  /** Waits for an interaction that nobody has answered and returns it. */
  async pendingInteraction(): Promise<EntryDraft<"interaction">> {
    const find = () => this.of("interaction").find((entry) => entry.head.status === "pending");
    await this.until("an interaction", () => find() !== undefined);
    const found = find();
    if (!found) throw new Error("the interaction is gone");
    return found;
  }

  #record(item: LogItem): void {
    this.log.push(item);
    for (const watcher of [...this.#watchers]) if (watcher.isMet(this)) watcher.resolve();
  }
}

/** A context around a memory session; `saved` holds the resume ids that the adapter saved. */
export function memoryContext(
  cwd: string,
  options: {
    env?: Record<string, string>;
    resumeId?: string;
    agentId?: string;
    command?: string[];
    session?: MemorySession;
  } = {},
): AgentContext & { session: MemorySession; saved: string[]; logs: string[] } {
  const saved: string[] = [];
  const logs: string[] = [];
  return {
    launch: {
      agentId: options.agentId ?? "custom",
      ...(options.command === undefined ? {} : { command: options.command }),
    },
    cwd,
    env: options.env ?? Deno.env.toObject(),
    session: options.session ?? new MemorySession(),
    resumeId: options.resumeId ?? null,
    saveResumeId: (id) => void saved.push(id),
    log: (level, message, fields) => void logs.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`),
    saved,
    logs,
  };
}
