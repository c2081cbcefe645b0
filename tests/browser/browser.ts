/** A real Chromium for the browser tests: the system's, or the one that npm carries. */
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import chromiumPackage, { inflate } from "@sparticuz/chromium";
import { type Browser, type BrowserContext, chromium, type Locator, type Page } from "playwright-core";

export type { Browser, BrowserContext, Locator, Page };

/** The two widths at which everything must work. */
export const sizes = { phone: { width: 390, height: 844 }, desktop: { width: 1440, height: 900 } } as const;
export type Size = keyof typeof sizes;

/** Flags without which Chromium asks its maker's servers for things, or refuses to run as root in a container. */
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const SYSTEM_PATHS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

async function findSystemBrowser(): Promise<string | null> {
  const named = Deno.env.get("CHROMIUM_BIN");
  for (const path of named ? [named] : SYSTEM_PATHS) {
    if (await Deno.stat(path).then((info) => info.isFile, () => false)) return path;
  }
  return null;
}

/** Starts a browser, with further flags of Chromium where they are given; close it when done. */
export async function launchBrowser(flags: readonly string[] = []): Promise<Browser> {
  const args = [...FLAGS, ...flags];
  const system = await findSystemBrowser();
  if (system !== null) return await chromium.launch({ executablePath: system, args });
  // Not with the package's own flags: they turn off what the tests look at, such as the same-origin policy.
  return await chromium.launch({ ...await unpackBrowser(), args });
}

/** Unpacks the Chromium that npm carries, with the libraries and fonts that this machine lacks. */
async function unpackBrowser(): Promise<{ executablePath: string; env: Record<string, string> }> {
  const env = Deno.env.toObject();
  const executablePath = await chromiumPackage.executablePath();
  if (!existsSync("/etc/fonts/fonts.conf")) env.FONTCONFIG_PATH ??= join(tmpdir(), "fonts");
  let reason = await whyNotRunning(executablePath, env);
  if (reason !== null) {
    const packageUrl = import.meta.resolve("@sparticuz/chromium");
    const bin = new URL("../bin/", packageUrl);
    // A run that was interrupted leaves half of a program, which the package takes for a whole one.
    if (!reason.includes("shared libraries")) {
      await Deno.remove(executablePath, { recursive: true });
      await inflate(fileURLToPath(new URL("chromium.br", bin)));
    }
    const libraries = await inflate(fileURLToPath(new URL("al2023.tar.br", bin)));
    env.LD_LIBRARY_PATH = [join(libraries, "lib"), env.LD_LIBRARY_PATH].filter(Boolean).join(":");
    reason = await whyNotRunning(executablePath, env);
  }
  if (reason !== null) {
    throw new Error(`Chromium of npm does not run here: ${reason}; install one and set CHROMIUM_BIN`);
  }
  return { executablePath, env };
}

/** What a program says that does not start; null when it does. */
async function whyNotRunning(program: string, env: Record<string, string>): Promise<string | null> {
  try {
    const { success, stderr } = await new Deno.Command(program, { args: ["--version"], env, stdout: "null" }).output();
    return success ? null : new TextDecoder().decode(stderr).trim() || "it ends at once";
  } catch (error) {
    return (error as Error).message;
  }
}

/** A browser profile of its own (a device of a person), at a size and colour scheme. */
export async function newDevice(
  browser: Browser,
  size: Size,
  colorScheme: "light" | "dark" = "light",
): Promise<BrowserContext> {
  const isPhone = size === "phone";
  const context = await browser.newContext({
    viewport: sizes[size],
    colorScheme,
    hasTouch: isPhone,
    isMobile: isPhone,
    deviceScaleFactor: isPhone ? 2 : 1,
  });
  context.setDefaultTimeout(20_000);
  return context;
}

/** What a page did that it must not: errors in its console (CSP violations among them), uncaught exceptions, requests elsewhere. */
export function watchPage(page: Page, origin: string): string[] {
  const problems: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error") problems.push(`console: ${message.text()} (${message.location().url})`);
  });
  page.on("pageerror", (error) => problems.push(`exception: ${error.message}`));
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(origin) && !url.startsWith("data:") && !url.startsWith("blob:")) {
      problems.push(`request elsewhere: ${url}`);
    }
  });
  return problems;
}
