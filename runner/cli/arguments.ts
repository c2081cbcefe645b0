/** The command line of `perch`: what may be said, and what each thing means. Pure. */
import { parseArgs, type ParseArgsConfig } from "node:util";
import { tunnelLimits } from "@/protocol/tunnel.ts";

/** The command line is wrong; the message is one sentence, the exit code is 2. */
export class UsageError extends Error {
  override name = "UsageError";
}

interface OptionHelp {
  type: "string" | "boolean";
  multiple?: boolean;
  /** Placeholder of the value in the help. */
  value?: string;
  help: string;
}

interface CommandHelp {
  summary: string;
  usage: string;
  options: Record<string, OptionHelp>;
  /** Names of the positional arguments; all are required. */
  positionals?: readonly string[];
  isPositionalOptional?: boolean;
  /** Started by the program itself; not in the help. */
  isInternal?: boolean;
}

const dataDirOption: OptionHelp = {
  type: "string",
  value: "DIR",
  help: "where the runner keeps its files (default: PERCH_DATA_DIR, else ~/.perch)",
};
const jsonOption: OptionHelp = { type: "boolean", help: "print JSON" };
const runnerOptions: Record<string, OptionHelp> = {
  hub: {
    type: "string",
    value: "URL",
    help: "the hub to connect to (default: PERCH_HUB_URL, else the one logged in to)",
  },
  name: { type: "string", value: "NAME", help: "the runner's name (default: this machine's)" },
  root: {
    type: "string",
    multiple: true,
    value: "DIR",
    help: "a folder in which sessions may work; may be given again (default: the home directory)",
  },
  "tunnel-host": {
    type: "string",
    multiple: true,
    value: "HOST",
    help: "a host beside this machine that tunnels may lead to; may be given again",
  },
  "data-dir": dataDirOption,
};

export const commands = {
  runner: {
    summary: "run the runner of this machine, until Ctrl-C",
    usage:
      "perch runner [--hub URL] [--name NAME] [--root DIR]... [--tunnel-host HOST]... [--data-dir DIR] [--exit-with-stdin]",
    options: {
      ...runnerOptions,
      "exit-with-stdin": {
        type: "boolean",
        help: "leave when standard input ends, with the sessions running on (for programs that start a runner)",
      },
    },
  },
  login: {
    summary: "connect this machine to a hub",
    usage: "perch login <hub-url> [--name NAME] [--no-open] [--data-dir DIR]",
    positionals: ["hub-url"],
    options: {
      name: { type: "string", value: "NAME", help: "how the hub names this login (default: this machine's name)" },
      "no-open": { type: "boolean", help: "do not open a browser, only print the link" },
      "data-dir": dataDirOption,
    },
  },
  logout: {
    summary: "forget the key of a hub",
    usage: "perch logout [--hub URL] [--data-dir DIR]",
    options: { hub: runnerOptions.hub as OptionHelp, "data-dir": dataDirOption },
  },
  status: {
    summary: "show hub, runner and sessions",
    usage: "perch status [--json] [--hub URL] [--data-dir DIR]",
    options: { json: jsonOption, hub: runnerOptions.hub as OptionHelp, "data-dir": dataDirOption },
  },
  expose: {
    summary: "make a local port reachable through the hub; list and close such tunnels",
    usage:
      "perch expose <port> [--name NAME] [--session ID] [--max-connections N] [--max-rate RATE] [--close] | perch expose --list",
    options: {
      name: { type: "string", value: "NAME", help: "how the hub names it (default: the port)" },
      session: {
        type: "string",
        value: "ID",
        help: "the session that it belongs to (default: PERCH_SESSION_ID, which agents have)",
      },
      host: { type: "string", value: "HOST", help: "a host that the runner allows (default: this machine)" },
      "max-connections": {
        type: "string",
        value: "N",
        help:
          `requests and WebSockets at once, from 1 to ${tunnelLimits.maxConnections} (default: ${tunnelLimits.connections})`,
      },
      "max-rate": {
        type: "string",
        value: "RATE",
        help: 'bytes a second, both directions together, as "500kB" or "2MB"; "none": no limit (default)',
      },
      list: { type: "boolean", help: "list this user's tunnels" },
      close: { type: "boolean", help: "close the tunnel of this port" },
      json: jsonOption,
      hub: runnerOptions.hub as OptionHelp,
      "data-dir": dataDirOption,
    },
    positionals: ["port"],
    isPositionalOptional: true,
  },
  agents: {
    summary: "list coding agents and say what is missing",
    usage: "perch agents [--json]",
    options: { json: jsonOption },
  },
  __daemon: { summary: "", usage: "", options: runnerOptions, isInternal: true },
  __host: {
    summary: "",
    usage: "",
    options: { session: { type: "string", help: "" }, "data-dir": dataDirOption },
    isInternal: true,
  },
  __terminal: { summary: "", usage: "", options: {}, isInternal: true },
} as const satisfies Record<string, CommandHelp>;
export type CommandName = keyof typeof commands;

/** A command's options as given; absent ones are undefined. */
export interface CommandValues {
  hub?: string;
  name?: string;
  root?: string[];
  "data-dir"?: string;
  "no-open"?: boolean;
  "exit-with-stdin"?: boolean;
  json?: boolean;
  session?: string;
  host?: string;
  "tunnel-host"?: string[];
  "max-connections"?: string;
  "max-rate"?: string;
  list?: boolean;
  close?: boolean;
}

export type CommandLine =
  | { do: "print"; text: string }
  | { do: "run"; command: CommandName; values: CommandValues; positionals: string[] };

/** Reads the command line (without the program). Throws UsageError. */
export function readCommandLine(args: readonly string[], version: string): CommandLine {
  const [first, ...rest] = args;
  if (first === undefined || first === "--help" || first === "-h") return { do: "print", text: programHelp() };
  if (first === "help") {
    const [name] = rest;
    if (name === undefined) return { do: "print", text: programHelp() };
    return { do: "print", text: commandHelp(commandNamed(name)) };
  }
  if (first === "--version" || first === "-V") return { do: "print", text: `perch ${version}` };
  if (first.startsWith("-")) throw new UsageError(`unknown option "${first}"; see perch --help`);
  const command = commandNamed(first);
  const help: CommandHelp = commands[command];
  const options: ParseArgsConfig["options"] = { help: { type: "boolean", short: "h" } };
  for (const [name, { type, multiple }] of Object.entries(help.options)) {
    options[name] = { type, ...(multiple ? { multiple } : {}) };
  }
  const { values, positionals } = parse(command, rest, options);
  if (values.help) return { do: "print", text: commandHelp(command) };
  const wanted = help.positionals ?? [];
  const missing = wanted[positionals.length];
  if (missing !== undefined && !help.isPositionalOptional) {
    throw new UsageError(`perch ${command} needs <${missing}>; usage: ${help.usage}`);
  }
  if (positionals.length > wanted.length) {
    throw new UsageError(`unexpected argument "${positionals[wanted.length]}"; usage: ${help.usage}`);
  }
  for (const [name, value] of Object.entries(values)) {
    if (value === "" || Array.isArray(value) && value.includes("")) {
      throw new UsageError(`option "--${name}" needs a value that is not empty; usage: ${help.usage}`);
    }
  }
  return { do: "run", command, values: values as CommandValues, positionals };
}

function commandNamed(name: string): CommandName {
  if (Object.hasOwn(commands, name)) return name as CommandName;
  const known = Object.entries<CommandHelp>(commands).filter(([, help]) => !help.isInternal).map(([known]) => known);
  throw new UsageError(`unknown command "${name}"; commands are ${known.join(", ")}`);
}

function parse(
  command: string,
  args: readonly string[],
  options: NonNullable<ParseArgsConfig["options"]>,
): { values: Record<string, unknown>; positionals: string[] } {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const unknown = /Unknown option '([^']*)'/.exec(message)?.[1];
    if (unknown !== undefined) throw new UsageError(`unknown option "${unknown}"; see perch ${command} --help`);
    const lacking = /Option '(?:-\w, )?(--[^' ]*)[^']*' argument missing/.exec(message)?.[1];
    if (lacking !== undefined) throw new UsageError(`option "${lacking}" needs a value; see perch ${command} --help`);
    throw new UsageError(`${message.split("\n")[0]}; see perch ${command} --help`);
  }
}

function programHelp(): string {
  const rows = Object.entries<CommandHelp>(commands).filter(([, help]) => !help.isInternal)
    .map(([name, help]) => `  ${name.padEnd(10)}${help.summary}`);
  return [
    "perch: watch and steer the coding agents of this machine from any browser",
    "",
    "Usage: perch <command> [options]",
    "",
    "Commands:",
    ...rows,
    "",
    "Options:",
    "  --help, -h      this text; perch <command> --help says more",
    "  --version, -V   the version",
    "",
    "Environment: PERCH_HUB_URL, PERCH_API_KEY, PERCH_DATA_DIR",
  ].join("\n");
}

function commandHelp(command: CommandName): string {
  const help: CommandHelp = commands[command];
  const width = Math.max(
    18,
    ...Object.entries(help.options).map(([name, { value }]) => {
      return 4 + name.length + (value === undefined ? 0 : 1 + value.length);
    }),
  ) + 2;
  const rows = Object.entries(help.options).map(([name, option]) => {
    const left = `--${name}${option.value === undefined ? "" : ` ${option.value}`}`;
    return `  ${left.padEnd(width)}${option.help}`;
  });
  return [
    `${help.summary[0]?.toUpperCase()}${help.summary.slice(1)}.`,
    "",
    `Usage: ${help.usage}`,
    "",
    "Options:",
    ...rows,
  ]
    .join("\n");
}
