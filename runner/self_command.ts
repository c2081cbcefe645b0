/** How this program starts itself again, from source (`deno run -A runner/main.ts`) and as a compiled binary. */

export interface SelfCommand {
  program: string;
  args: string[];
}

export interface SelfOptions {
  /** Deno.execPath(): the deno binary, or the compiled program itself. */
  execPath: string;
  /** Deno.build.standalone. */
  isStandalone: boolean;
  /** URL of runner/main.ts; unused when standalone. */
  mainUrl: string;
  /** Path of deno.json, so that a run from elsewhere finds imports and unstable flags; unused when standalone. */
  configPath: string;
}

/**
 * V8's settings for the daemon, which passes bytes on and keeps little: garbage may grow its heap by a third, and what is young
 * has 3 × 8 MiB. By itself V8 lets both grow to several times that. Terminals are the opposite: they make so much that lives for a
 * moment that a small room for it halves their speed.
 */
export const daemonV8Flags: readonly string[] = ["--heap-growing-percent=30", "--max-semi-space-size=8"];

/**
 * The program and arguments that run `perch <args>` again. A compiled binary has its entry point, flags and permissions inside, so
 * it takes the arguments alone (and no `v8Flags`: V8 is set up by then); deno itself must be told all three.
 */
export function selfCommand(args: readonly string[], self: SelfOptions, v8Flags: readonly string[] = []): SelfCommand {
  if (self.isStandalone) return { program: self.execPath, args: [...args] };
  return {
    program: self.execPath,
    args: [
      "run",
      "-A",
      "--quiet",
      "--no-prompt",
      ...(v8Flags.length === 0 ? [] : [`--v8-flags=${v8Flags.join(",")}`]),
      "--config",
      self.configPath,
      self.mainUrl,
      ...args,
    ],
  };
}

/** A command as one line that a POSIX shell runs. */
export function commandLine({ program, args }: SelfCommand): string {
  return [program, ...args].map((word) =>
    /^[A-Za-z0-9_\/.:=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
  ).join(" ");
}

/** This very process's options. */
export function selfOptions(): SelfOptions {
  return {
    execPath: Deno.execPath(),
    isStandalone: Deno.build.standalone,
    mainUrl: new URL("./main.ts", import.meta.url).href,
    configPath: Deno.build.standalone ? "" : decodeURIComponent(new URL("../deno.json", import.meta.url).pathname),
  };
}
