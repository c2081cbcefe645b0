/** The small files of a session's directory: what to launch, and how the last run ended. */
import * as z from "zod";
import { AgentLaunch, Id, SessionAgent, SessionEnd } from "@/protocol/mod.ts";
import { readTextIfExists, writeFileAtomic } from "./atomic_file.ts";
import type { SessionDir } from "./data_dir.ts";

export const SessionFile = z.object({
  sessionId: Id,
  runnerId: Id,
  /** The real path of the working directory. */
  cwd: z.string().min(1),
  launch: AgentLaunch,
  agent: SessionAgent,
  sessionName: z.string().nullable(),
  startedAt: z.number().int().nonnegative(),
  /** The prompt that came with the command that made the session. */
  firstPrompt: z.object({ op: Id, text: z.string(), from: z.string() }).nullable(),
});
export type SessionFile = z.infer<typeof SessionFile>;

export const EndedFile = z.object({
  end: SessionEnd,
  /** Whether the hub has committed the whole journal and was told of the end. */
  isSettled: z.boolean(),
  /** The session was deleted on the hub: its directory may go. */
  isDeleted: z.boolean(),
});
export type EndedFile = z.infer<typeof EndedFile>;

/** Reads session.json. Throws a sentence naming the file and the field when it is missing or not valid. */
export function readSessionFile(dir: SessionDir): SessionFile {
  const text = readTextIfExists(dir.session);
  if (text === null) throw new Error(`${dir.session} is missing`);
  return parse(dir.session, SessionFile, text);
}

/** How the last run ended, or null while it has not (or nobody could say so). A damaged file counts as none. */
export function readEndedFile(dir: SessionDir): EndedFile | null {
  const text = readTextIfExists(dir.ended);
  if (text === null) return null;
  try {
    return parse(dir.ended, EndedFile, text);
  } catch {
    return null;
  }
}

/** Writes session.json; makes the directory (0700) when it is not there. */
export function writeSessionFile(dir: SessionDir, session: SessionFile): void {
  Deno.mkdirSync(dir.path, { recursive: true, mode: 0o700 });
  writeFileAtomic(dir.session, JSON.stringify(session, null, 2) + "\n");
}

export function writeEndedFile(dir: SessionDir, ended: EndedFile): void {
  writeFileAtomic(dir.ended, JSON.stringify(ended, null, 2) + "\n");
}

function parse<T>(path: string, schema: z.ZodType<T>, text: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error(`${path} is not JSON`);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new Error(`${path}: ${issue?.path.join(".") || "the file"}: ${issue?.message ?? "is not valid"}`);
}
