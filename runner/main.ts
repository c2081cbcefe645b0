/** `perch`: the command of a dev machine. Also the entry point of the processes that it starts of itself (self_command.ts). */
import { PERCH_VERSION } from "@/protocol/mod.ts";
import { createAgent, demoArgument, listAgents, runDemoAgent } from "./agents/mod.ts";
import { type CommandLine, readCommandLine, UsageError } from "./cli/arguments.ts";
import { expose } from "./cli/expose.ts";
import { login, logout } from "./cli/login.ts";
import { agents, status } from "./cli/status.ts";
import { ConfigError, hubSettings, readConfig, resolveRoots } from "./config.ts";
import { runDaemon } from "./daemon.ts";
import { dataDir } from "./data_dir.ts";
import { LoginError } from "./device_login.ts";
import { hostProcess } from "./host_main.ts";
import { errorText, runnerLog } from "./log.ts";
import { daemonV8Flags, selfCommand, selfOptions } from "./self_command.ts";
import { exitCodes, runSupervisor } from "./supervisor.ts";

/** Runs a command line and resolves with the exit code. */
async function run(line: CommandLine): Promise<number> {
  if (line.do === "print") {
    console.log(line.text);
    return 0;
  }
  const { values, positionals } = line;
  const env = Deno.env.toObject();
  const dir = dataDir(values["data-dir"], env);
  switch (line.command) {
    case "login":
      return await login(positionals[0] as string, values);
    case "logout":
      return logout(values);
    case "status":
      return await status(values);
    case "agents":
      return await agents(values, () => listAgents({ env }));
    case "expose":
      return await expose(positionals[0], values);
    case "runner": {
      // What is wrong with the configuration is said once, here, and not by a daemon over and over.
      const config = readConfig(dir.config);
      resolveRoots(config, values.root);
      const { hubUrl, apiKey } = hubSettings(config, env, values.hub);
      if (hubUrl === null) throw new LoginError("no hub is named; run perch login <hub-url>, or give --hub");
      if (apiKey === null && !env.PERCH_ENROLLMENT) {
        throw new LoginError(`this machine has no key for ${hubUrl}; run perch login ${hubUrl}`);
      }
      const { "exit-with-stdin": _, ...passedOn } = values;
      const args = Object.entries({ ...passedOn, "data-dir": dir.path }).flatMap(([name, value]) =>
        [value].flat().flatMap((one) => [`--${name}`, String(one)])
      );
      return await runSupervisor({
        dataDir: dir,
        daemonCommand: selfCommand(["__daemon", ...args], selfOptions(), daemonV8Flags),
        write: runnerLog("supervisor", dir.runnerLog),
        orphaned: values["exit-with-stdin"] ? stdinEnded() : null,
      });
    }
    case "__daemon":
      return await runDaemon({
        dataDir: dir,
        hubOption: values.hub,
        nameOption: values.name,
        rootOptions: values.root ?? [],
        env,
        listAgents: () => listAgents({ env }),
        hostCommand: (session) => selfCommand(["__host", "--session", session, "--data-dir", dir.path], selfOptions()),
        terminalCommand: selfCommand(["__terminal"], selfOptions()),
        ...(values["tunnel-host"] ? { tunnelHosts: values["tunnel-host"] } : {}),
        exposeCommand: selfCommand(["expose"], selfOptions()),
        write: runnerLog("daemon", dir.runnerLog),
        orphaned: stdinEnded(),
      });
    case "__terminal":
      // Its emulator and the native pty are of use to no other process.
      return await (await import("./terminal/terminal_main.ts")).runTerminal();
    case "__host":
      return await hostProcess({ sessionPath: values.session ?? "", dataDir: dir, createAgent });
  }
}

/** Resolves when whoever started this process has let go of its stdin. */
async function stdinEnded(): Promise<void> {
  const buffer = new Uint8Array(64);
  try {
    while (await Deno.stdin.read(buffer) !== null);
  } catch {
    // As good as ended.
  }
}

async function main(args: string[]): Promise<number> {
  try {
    return await run(readCommandLine(args, PERCH_VERSION));
  } catch (error) {
    console.error(`perch: ${errorText(error)}`);
    if (error instanceof UsageError) return 2;
    return error instanceof ConfigError || error instanceof LoginError ? exitCodes.giveUp : 1;
  }
}

if (import.meta.main) {
  if (Deno.args[0] === demoArgument) await runDemoAgent();
  else Deno.exit(await main(Deno.args));
}
