/** A real Chromium for the browser tests: the system's, or the one that npm carries. */
import chromiumPackage from "@sparticuz/chromium";
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

/** Starts a browser; close it when done. */
export async function launchBrowser(): Promise<Browser> {
  const system = await findSystemBrowser();
  if (system !== null) return await chromium.launch({ executablePath: system, args: FLAGS });
  return await chromium.launch({
    executablePath: await chromiumPackage.executablePath(),
    args: [...chromiumPackage.args, ...FLAGS],
  });
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
