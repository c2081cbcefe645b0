/** Which shell a terminal runs, and what programs in it find in their environment. */

/** Never passed on: what runs in a terminal may be an agent that does what a model says. */
const secretVariables = ["PERCH_API_KEY", "PERCH_ENROLLMENT"];

/** The environment without the runner's own keys. */
export function withoutSecrets(env: Readonly<Record<string, string>>): Record<string, string> {
  const made = { ...env };
  for (const name of secretVariables) delete made[name];
  return made;
}

/** The user's shell as a program with arguments. */
export function defaultShell(
  env: Readonly<Record<string, string>>,
  os: typeof Deno.build.os = Deno.build.os,
): string[] {
  if (os === "windows") return [env.COMSPEC || "cmd.exe"];
  return [env.SHELL || "/bin/sh"];
}

/**
 * The environment of a terminal's program: the runner's own, with what tells programs which terminal this is, and a UTF-8 locale
 * where the runner has none. Variables of a terminal that the runner itself was started from are left out.
 */
export function terminalEnv(
  env: Readonly<Record<string, string>>,
  os: typeof Deno.build.os = Deno.build.os,
): Record<string, string> {
  const made: Record<string, string> = {
    ...withoutSecrets(env),
    TERM: "xterm-256color",
    COLORTERM: "truecolor",
    TERM_PROGRAM: "perch",
  };
  const foreign = [
    "TMUX",
    "TMUX_PANE",
    "STY",
    "WINDOW",
    "WINDOWID",
    "TERMCAP",
    "COLUMNS",
    "LINES",
    "NO_COLOR",
    "DENO_V8_FLAGS",
  ];
  for (const name of foreign) delete made[name];
  const locale = made.LC_ALL || made.LC_CTYPE || made.LANG || "";
  if (!/utf-?8/i.test(locale)) {
    delete made.LC_ALL;
    made.LANG = os === "darwin" ? "en_US.UTF-8" : "C.UTF-8";
    made.LC_CTYPE = made.LANG;
  }
  return made;
}
