/** `perch login` and `perch logout`. */
import { renderUnicodeCompact } from "uqr";
import { hubKey, readConfig, runnerName, updateConfig } from "../config.ts";
import { dataDir } from "../data_dir.ts";
import { requestDeviceCode, waitForApproval } from "../device_login.ts";
import { onSignals } from "../signals.ts";
import { type CommandValues, UsageError } from "./arguments.ts";

/** Gets a key by the device flow and stores it. Resolves with the exit code. */
export async function login(hubArgument: string, values: CommandValues): Promise<number> {
  const dir = dataDir(values["data-dir"], Deno.env.toObject());
  const config = readConfig(dir.config);
  const hubUrl = hubAddress(hubArgument);
  const aborted = new AbortController();
  using _signals = onSignals(() => aborted.abort(new Error("interrupted")));
  const code = await requestDeviceCode(hubUrl, runnerName(config, values.name), aborted.signal);
  const link = hubUrl + code.verificationPath;
  console.log(`\nOpen this link in a browser that is signed in to the hub:\n\n  ${link}\n`);
  console.log(`and check that it shows this code:\n\n  ${code.userCode}\n`);
  if (Deno.stdout.isTerminal()) console.log(renderUnicodeCompact(link));
  if (!values["no-open"]) openBrowser(link);
  console.log("Waiting for approval ...");
  const grant = await waitForApproval(hubUrl, code, aborted.signal);
  updateConfig(dir.config, (old) => ({
    ...old,
    hubUrl,
    hubs: { ...old.hubs, [hubUrl]: { apiKey: grant.apiKey, userName: grant.userName } },
  }));
  console.log(`Logged in to ${hubUrl} as ${grant.userName}. Start the runner with: perch runner`);
  return 0;
}

/** Forgets a hub's key. The key itself stays valid until it is revoked on the hub. */
export function logout(values: CommandValues): number {
  const dir = dataDir(values["data-dir"], Deno.env.toObject());
  const config = readConfig(dir.config);
  const named = values.hub ?? (Deno.env.get("PERCH_HUB_URL") || config.hubUrl);
  const hubUrl = named === undefined ? null : hubAddress(named);
  if (hubUrl === null || !config.hubs?.[hubUrl]) {
    console.log(hubUrl === null ? "Not logged in to any hub." : `Not logged in to ${hubUrl}.`);
    return 0;
  }
  updateConfig(dir.config, ({ hubUrl: used, hubs, ...rest }) => {
    const left = Object.fromEntries(Object.entries(hubs ?? {}).filter(([url]) => url !== hubUrl));
    return { ...rest, hubs: left, ...(used === undefined || used === hubUrl ? {} : { hubUrl: used }) };
  });
  console.log(`The key for ${hubUrl} is removed from this machine. To make it void everywhere, revoke it on the hub.`);
  return 0;
}

function hubAddress(text: string): string {
  try {
    return hubKey(text);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** Tries to show the link; whether that works is nobody's problem, the link is printed too. */
function openBrowser(link: string): void {
  const hasDisplay = Deno.build.os !== "linux" || Deno.env.has("DISPLAY") || Deno.env.has("WAYLAND_DISPLAY");
  if (!hasDisplay) return;
  const [program, args] = Deno.build.os === "darwin"
    ? ["open", [link]] as const
    : Deno.build.os === "windows"
    ? ["rundll32", ["url.dll,FileProtocolHandler", link]] as const
    : ["xdg-open", [link]] as const;
  try {
    new Deno.Command(program, { args: [...args], stdin: "null", stdout: "null", stderr: "null" }).spawn().unref();
  } catch {
    // No such program.
  }
}
