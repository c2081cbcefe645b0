/** The log lines of the runner's processes: JSON lines on stderr, for people and for files alike. */
import { readFullSync } from "./atomic_file.ts";

export type LogLevel = "info" | "warning" | "error";
export type Log = (level: LogLevel, message: string, fields?: Record<string, unknown>) => void;

/** A log that writes to stderr and marks each line with the process's part. */
export function stderrLog(part: "supervisor" | "daemon" | "host"): Log {
  return (level, message, fields) => {
    console.error(JSON.stringify({ time: new Date().toISOString(), level, part, message, ...fields }));
  };
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
