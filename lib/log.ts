/** Structured log lines: one JSON object a line on stderr. Secrets and message bodies never go in. */
export type LogLevel = "debug" | "info" | "warning" | "error";
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

export interface Log {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
}

const order: readonly LogLevel[] = ["debug", "info", "warning", "error"];

/**
 * Makes a log that writes lines of `minLevel` and above, each with `context`.
 * `write` gets a line without its line break; the default prints it to stderr.
 */
export function createLog(
  minLevel: LogLevel,
  context: LogFields = {},
  write: (line: string) => void = (line) => console.error(line),
): Log {
  const at = (level: LogLevel) => (event: string, fields: LogFields = {}) => {
    if (order.indexOf(level) < order.indexOf(minLevel)) return;
    write(JSON.stringify({ at: new Date().toISOString(), level, event, ...context, ...fields }));
  };
  return { debug: at("debug"), info: at("info"), warn: at("warning"), error: at("error") };
}

/** The text of anything thrown. */
export function errorText(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
