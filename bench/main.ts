/** `deno task bench <name> [--quick]`: runs a bench and prints its report, one JSON object, as the last line. */
import { attach } from "./attach.ts";
import { cluster } from "./cluster.ts";
import { idle } from "./idle.ts";
import { BenchError, printReport, type Result } from "./report.ts";
import { relay } from "./relay.ts";
import { sessions } from "./sessions.ts";
import { store } from "./store.ts";
import { terminal } from "./terminal.ts";
import { tunnel } from "./tunnel.ts";

const benches: Readonly<Record<string, (options: { isQuick: boolean }) => Promise<Result[]>>> = {
  relay,
  sessions,
  terminal,
  tunnel,
  cluster,
  attach,
  store,
  idle,
};

const names = Deno.args.filter((arg) => !arg.startsWith("-"));
const unknownFlag = Deno.args.find((arg) => arg.startsWith("-") && arg !== "--quick" && arg !== "--");
const [name] = names;
const run = name !== undefined && Object.hasOwn(benches, name) ? benches[name] : undefined;
if (run === undefined || names.length !== 1 || unknownFlag !== undefined) {
  const wrong = unknownFlag !== undefined
    ? `there is no option "${unknownFlag}"`
    : name === undefined
    ? "name a bench"
    : names.length > 1
    ? "name one bench"
    : `there is no bench "${name}"`;
  console.error(`${wrong}; usage: deno task bench <${Object.keys(benches).join(" | ")}> [--quick]`);
  Deno.exit(2);
}
try {
  printReport(name!, await run({ isQuick: Deno.args.includes("--quick") }));
} catch (error) {
  if (!(error instanceof BenchError)) throw error;
  console.error(error.message);
  Deno.exit(1);
}
