/** The log lines of the runner's processes: JSON lines in a file, sentences on a terminal. */
import { readFullSync } from "./atomic_file.ts";

export type LogLevel = "info" | "warning" | "error";
export type Log = (level: LogLevel, message: string, fields?: Record<string, unknown>) => void;

/** The log of a session host: JSON lines on stderr, which is the session's host.log. */
export function hostLog(): Log {
  return (level, message, fields) => console.error(logLine("host", level, message, fields));
}

/**
 * The log of supervisor and daemon: JSON lines in `path` (bounded), and the sentences alone for whoever started the runner: what is
 * wrong on stderr, the rest on stdout.
 */
export function runnerLog(part: "supervisor" | "daemon", path: string): Log {
  return (level, message, fields) => {
    boundLogFile(path);
    Deno.writeTextFileSync(path, logLine(part, level, message, fields) + "\n", { append: true, mode: 0o600 });
    if (level === "info") console.log(`perch: ${message}`);
    else console.error(`perch: ${message}`);
  };
}

function logLine(part: string, level: LogLevel, message: string, fields: Record<string, unknown> = {}): string {
  return JSON.stringify({ time: new Date().toISOString(), level, part, message, ...fields });
}

/** The sentence inside whatever was thrown. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The last `maxChars` of a text file, from the start of a line, or "" when it cannot be read. */
export function fileTail(path: string, maxChars: number): string {
  try {
    const file = Deno.openSync(path, { read: true });
    try {
      const size = file.statSync().size;
      const bytes = new Uint8Array(Math.min(size, maxChars));
      file.seekSync(size - bytes.length, Deno.SeekMode.Start);
      const length = readFullSync(file, bytes);
      const text = new TextDecoder().decode(bytes.subarray(0, length)).trimEnd();
      const lineStart = size > bytes.length ? text.indexOf("\n") + 1 : 0;
      return text.slice(lineStart);
    } finally {
      file.close();
    }
  } catch {
    return "";
  }
}

/** A host's log file may grow to this size … */
const LOG_BYTES = 1024 * 1024;
/** … and is cut to its last part of this size. */
const LOG_KEPT_CHARS = 64 * 1024;

/** Cuts a log file that has grown too long, in place: its writers have it open for appending. None there is fine. */
export function boundLogFile(path: string): void {
  try {
    if (Deno.statSync(path).size <= LOG_BYTES) return;
    const tail = fileTail(path, LOG_KEPT_CHARS);
    Deno.writeTextFileSync(path, `[earlier lines were cut]\n${tail}\n`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
