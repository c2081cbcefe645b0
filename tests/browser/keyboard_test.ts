/** The demo without a mouse: from the dashboard to a second prompt with Tab, Shift-Tab, Enter, Escape and the arrows; and Stop. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type RunnerProcess, startRunner } from "@/tests/support/runner.ts";
import type { Locator, Page } from "./browser.ts";
import { openSite, promptField } from "./site.ts";

/** More stops than any page has before what is looked for. */
const STOPS_MAX = 60;

/** Presses Tab (or Shift-Tab) until `wanted` has the focus, and asserts that each stop can be seen to have it. */
async function tabTo(page: Page, wanted: Locator, key: "Tab" | "Shift+Tab" = "Tab"): Promise<void> {
  for (let stop = 0; stop < STOPS_MAX; stop++) {
    await page.keyboard.press(key);
    if (await wanted.evaluate((element) => element === document.activeElement)) return assertFocusShown(page);
  }
  assert.fail(`${key} does not reach ${wanted}`);
}

async function assertFocusShown(page: Page): Promise<void> {
  const isShown = await page.evaluate(() => {
    const element = document.activeElement!;
    const { outlineStyle } = getComputedStyle(element);
    const around = element.closest(".composer");
    return outlineStyle !== "none" || (around !== null && getComputedStyle(around).boxShadow !== "none");
  });
  assert.ok(isShown, "the focused element shows it");
}

Deno.test("the keyboard alone starts a session, answers its question and stops it", async (t) => {
  await using site = await openSite();
  await using runner: RunnerProcess = await startRunner(site.hub, { env: { PERCH_DEMO_TOKEN_MS: "4" } });
  const page = await site.page(await site.device("desktop"));
  const dialog = page.getByRole("dialog");
  await t.step("a new session", async () => {
    await page.goto(site.hub.url);
    const open = page.getByRole("button", { name: "New session" });
    await open.first().waitFor();
    await tabTo(page, open.first());
    await page.keyboard.press("Enter");
    await dialog.waitFor();
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    assert.ok(await open.first().evaluate((button) => button === document.activeElement), "the focus goes back");
    await page.keyboard.press("Enter");
    await dialog.waitFor();
    const folder = dialog.getByRole("combobox", { name: "Folder" });
    await tabTo(page, folder);
    assert.equal((await folder.inputValue()).replace(/\/$/, ""), runner.work);
    const agent = dialog.getByRole("radio", { checked: true });
    await tabTo(page, agent);
    const demo = dialog.getByRole("radio", { name: /demo/i });
    for (let press = 0; press < 10 && !await demo.isChecked(); press++) await page.keyboard.press("ArrowDown");
    assert.ok(await demo.isChecked());
    await tabTo(page, dialog.getByLabel("First prompt"));
    await page.keyboard.type("Use the keyboard");
    await tabTo(page, dialog.getByRole("button", { name: "Start session" }));
    await page.keyboard.press("Enter");
    await page.waitForURL("**/session/**");
  });
  const head = page.locator(".session-head");
  await t.step("the permission", async () => {
    const allow = page.getByRole("button", { name: "Allow once" });
    await allow.waitFor();
    await promptField(page).waitFor();
    await tabTo(page, allow, "Shift+Tab");
    await page.keyboard.press("Enter");
    await page.getByText("by Ann").waitFor();
    await head.getByText("Idle").waitFor();
    assert.match(await Deno.readTextFile(join(runner.work, "perch-demo.md")), /Use the keyboard/);
  });
  await t.step("an answer opens with Enter", async () => {
    const fold = page.locator(".tool > summary").last();
    await tabTo(page, fold, "Shift+Tab");
    await page.keyboard.press("Enter");
    await page.locator(".tool[open] .fold-body").waitFor();
  });
  await t.step("another prompt, and Escape stops the agent in the middle of its answer", async () => {
    await tabTo(page, promptField(page));
    await page.keyboard.type("long");
    await page.keyboard.press("Enter");
    const answer = page.locator(".agent-message.is-open").filter({ hasText: "still and watches" });
    await answer.waitFor();
    await page.keyboard.press("Escape");
    await head.getByText("Idle").waitFor();
    await page.getByText("Stopped here.").waitFor();
    assert.equal(await page.getByText("That was all of it.").count(), 0);
    await page.reload();
    await page.getByText("Stopped here.").waitFor();
  });
  site.assertQuiet();
});
