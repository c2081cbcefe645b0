/** A terminal on a page of a real browser: what it shows, and typing into it. */
import { join } from "node:path";
import type { BrowserContext, Page } from "@/tests/browser/browser.ts";
import type { Site } from "@/tests/browser/site.ts";
import { eventually } from "@/tests/support/patience.ts";
import type { RunnerProcess } from "@/tests/support/runner.ts";

const images = join(import.meta.dirname!, "../../docs/images");
const keepsImages = Deno.env.get("PERCH_SCREENSHOTS") === "1";

/** Keeps a screenshot in the docs when PERCH_SCREENSHOTS=1. */
export async function picture(page: Page, name: string): Promise<void> {
  if (keepsImages) await page.screenshot({ path: join(images, `terminal-${name}.png`) });
}

/** The lines that can be seen. */
export async function screenText(page: Page): Promise<string> {
  return await page.evaluate(() =>
    [...document.querySelectorAll(".xterm-rows > div")].map((row) => (row.textContent ?? "").trimEnd()).join("\n")
      .trimEnd() +
    "\n"
  );
}

/** Makes pages draw with the DOM, so that what they show can be read. */
export async function withoutWebgl(device: BrowserContext): Promise<BrowserContext> {
  await device.addInitScript(() => {
    const { getContext } = HTMLCanvasElement.prototype;
    HTMLCanvasElement.prototype.getContext = function (this: HTMLCanvasElement, kind: string, ...rest: unknown[]) {
      return kind.startsWith("webgl") ? null : Reflect.apply(getContext, this, [kind, ...rest]);
    } as typeof getContext;
  });
  return device;
}

/** Waits until the text can be seen. */
export async function shows(page: Page, text: string | RegExp): Promise<void> {
  let last = "";
  await eventually(async () => {
    // While the page is being left there is none.
    last = await screenText(page).catch(() => "");
    return typeof text === "string" ? last.includes(text) : text.test(last);
  }, `"${text}" on the screen`).catch((error) => {
    throw new Error(`${error.message}; it shows:\n${last}`);
  });
}

/** Types a line. */
export async function type(page: Page, text: string): Promise<void> {
  await page.locator(".xterm-helper-textarea").focus();
  await page.keyboard.insertText(text);
  await page.keyboard.press("Enter");
}

/** The page of a runner's terminals. */
export async function openTerminal(site: Site, page: Page, runner: RunnerProcess): Promise<void> {
  await page.goto(`${site.hub.url}/terminal/${runner.runnerId}`);
  await page.locator(".xterm-screen").waitFor();
}
