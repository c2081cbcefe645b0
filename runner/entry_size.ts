/**
 * Keeps what adapters write inside the limits and the schemas, whatever an agent sent: tool output at limits.toolOutputChars, the whole entry at limits.entryBytes. What is cut is said in
 * the entry itself. Pure.
 */
import {
  type EntryBodies,
  type EntryHead,
  type EntryKind,
  limits,
  MetaPatch,
  type ToolContent,
} from "@/protocol/mod.ts";

/** Longest stream text of an agent message or a thought. */
export const MESSAGE_CHARS = 512 * 1024;
/** Longest text left of a field that had to be cut to make its entry fit. */
const CUT_FIELD_CHARS = 64 * 1024;

/** UTF-8 length of a value's JSON. */
export function jsonBytes(value: unknown): number {
  return new TextEncoder().encode(JSON.stringify(value) ?? "").length;
}

/** `[n characters cut]` between the first and last half of what fits into `maxChars`; the text itself when it fits. */
export function cutMiddle(text: string, maxChars: number): { text: string; cut: number } {
  if (text.length <= maxChars) return { text, cut: 0 };
  const headChars = Math.floor(maxChars / 2);
  const tailChars = maxChars - headChars;
  const cut = text.length - headChars - tailChars;
  const marker = `\n[${cut} characters cut]\n`;
  return { text: text.slice(0, headChars) + marker + text.slice(text.length - tailChars), cut };
}

/** Cuts a tool's output to half of what is allowed, so that the next cut comes only after as much again. */
export function cutToolOutput(body: EntryBodies["tool_call"]): EntryBodies["tool_call"] {
  if (body.output.length <= limits.toolOutputChars) return body;
  const { text, cut } = cutMiddle(body.output, Math.floor(limits.toolOutputChars / 2));
  return { ...body, output: text, outputCut: (body.outputCut ?? 0) + cut };
}

/** The body as it may be stored: the same when it fits, else with its largest parts cut, each with a marker. */
export function fitBody<K extends EntryKind>(kind: K, body: EntryBodies[K]): EntryBodies[K] {
  let fitted: EntryBodies[EntryKind] = body;
  if (kind === "tool_call") fitted = cutToolOutput(body as EntryBodies["tool_call"]);
  if (kind === "agent_message" || kind === "thought") {
    const { text } = body as EntryBodies["thought"];
    if (text.length > MESSAGE_CHARS) fitted = { text: cutMiddle(text, MESSAGE_CHARS).text };
  }
  // A head is at most a few KiB; leave room for it.
  const maxBytes = limits.entryBytes - 16 * 1024;
  if (quickBytesBound(fitted) <= maxBytes || jsonBytes(fitted) <= maxBytes) return fitted as EntryBodies[K];
  return shrink(fitted, CUT_FIELD_CHARS, maxBytes) as EntryBodies[K];
}

/** An upper bound of the JSON's size without making it: no character takes more than six bytes. */
function quickBytesBound(body: EntryBodies[EntryKind]): number {
  let chars = 0;
  const walk = (value: unknown): void => {
    if (typeof value === "string") chars += value.length + 2;
    else if (Array.isArray(value)) { for (const item of value) walk(item), chars++; }
    else if (typeof value === "object" && value !== null) {
      for (const [key, item] of Object.entries(value)) chars += key.length + 4, walk(item);
    } else chars += 24;
  };
  walk(body);
  return chars * 6;
}

/** Cuts every long string, wherever it stands; when that is not enough, shorter ones too. */
function shrink(body: EntryBodies[EntryKind], maxChars: number, maxBytes: number): unknown {
  const cut = cutStrings(body, maxChars);
  if (jsonBytes(cut) <= maxBytes) return cut;
  if (maxChars > 256) return shrink(body, Math.floor(maxChars / 4), maxBytes);
  // Very many small parts: keep the required fields only.
  const full = cut as Record<string, unknown>;
  const marker: ToolContent = { type: "text", text: "[too large to keep]" };
  return { ...full, input: undefined, attachments: undefined, ...("content" in full ? { content: [marker] } : {}) };
}

function cutStrings(value: unknown, maxChars: number): unknown {
  if (typeof value === "string") return cutMiddle(value, maxChars).text;
  if (Array.isArray(value)) return value.map((item) => cutStrings(item, maxChars));
  if (typeof value !== "object" || value === null) return value;
  const record = value as Record<string, unknown>;
  // Base64 that is cut is no image any more.
  if (record.type === "image" && typeof record.data === "string" && record.data.length > maxChars) {
    return { type: "text", text: `[an image of ${record.data.length} characters of base64 was cut]` };
  }
  if (typeof record.mediaType === "string" && typeof record.data === "string" && record.data.length > maxChars) {
    return { mediaType: record.mediaType, filename: record.filename, attachmentId: record.attachmentId };
  }
  return Object.fromEntries(Object.entries(record).map(([key, item]) => [key, cutStrings(item, maxChars)]));
}

/** Largest JSON of one field of a meta patch. */
const META_FIELD_BYTES = 1024 * 1024;

/** A head that the hub accepts: texts cut to their limits, times whole milliseconds. */
export function soundHead(head: Omit<EntryHead, "textLength">): Omit<EntryHead, "textLength"> {
  return {
    status: head.status,
    startedAt: soundTime(head.startedAt),
    ...(head.endedAt === undefined ? {} : { endedAt: soundTime(head.endedAt) }),
    ...(head.title === undefined ? {} : { title: head.title.slice(0, limits.titleChars) }),
    ...(head.toolKind === undefined ? {} : { toolKind: head.toolKind.slice(0, 32) }),
    ...(head.attention === undefined ? {} : { attention: head.attention }),
  };
}

function soundTime(time: number): number {
  return Number.isFinite(time) && time > 0 ? Math.floor(time) : 0;
}

/** The fields of a patch that the hub accepts, and for each other one a sentence that names it. */
export function soundPatch(patch: MetaPatch): { sound: MetaPatch; refused: string[] } {
  const refused: string[] = [];
  const sound = Object.entries(patch).flatMap(([name, value]) => {
    const schema = MetaPatch.shape[name as keyof MetaPatch];
    if (value === undefined || schema === undefined) return [];
    const parsed = schema.safeParse(value);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      refused.push(`${[name, ...issue?.path ?? []].join(".")}: ${issue?.message}`);
      return [];
    }
    const bytes = jsonBytes(parsed.data);
    if (bytes <= META_FIELD_BYTES) return [[name, parsed.data]];
    refused.push(`${name}: ${bytes} bytes are over the limit of ${META_FIELD_BYTES}`);
    return [];
  });
  return { sound: Object.fromEntries(sound), refused };
}
