/** A session in a terminal, in a real browser: made in the dialog, used, left alone until it asks for a person, ended. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openSite } from "@/tests/browser/site.ts";
import { eventually } from "@/tests/support/patience.ts";
import { startRunner } from "@/tests/support/runner.ts";
import { picture, shows, withoutWebgl } from "./page.ts";

const script = `#!/bin/sh
printf '\\033]2;Parrot\\007\\033[32mParrot\\033[0m repeats what you say (%s).\\n' "$1"
while read line; do
  [ "$line" = later ] && { printf '\\033]9;Parrot wants a cracker\\007'; continue; }
  [ "$line" = bye ] && exit 0
  printf '\\033[33m»\\033[0m %s\\n' "$line"
done
`;

Deno.test("a session in a terminal, in a browser", async (t) => {
  await using site = await openSite();
  await using runner = await startRunner(site.hub);
  await Deno.writeTextFile(join(runner.work, "parrot"), script, { mode: 0o755 });
  const desktop = await withoutWebgl(await site.device("desktop"));
  const page = await site.page(desktop);

  await t.step("the dialog takes a command, and shows what it is taken as", async () => {
    await page.goto(`${site.hub.url}/?new`);
    await page.getByLabel(/^Any command in a terminal/).check();
    const field = page.getByLabel("Command", { exact: true });
    await field.fill(`./parrot 'politely`);
    await page.getByText("A quote is still open.").waitFor();
    await field.fill(`./parrot 'politely, please'`);
    const words = page.getByLabel("Program and arguments").locator("code");
    assert.deepEqual(await words.allTextContents(), ["./parrot", "politely, please"]);
    await picture(page, "session-new");
    await page.getByRole("button", { name: "Start session" }).click();
  });

  await t.step("its page is the terminal", async () => {
    await shows(page, "(politely, please)");
    await page.getByRole("heading", { name: "Parrot" }).waitFor();
    await page.locator(".xterm-helper-textarea").focus();
    await page.keyboard.insertText("hello");
    await page.keyboard.press("Enter");
    await shows(page, "» hello");
    await picture(page, "session-main");
  });

  await t.step("a prompt goes into it from its timeline", async () => {
    await page.getByRole("button", { name: "Timeline" }).click();
    await page.getByLabel("Prompt").fill("from the composer");
    await page.getByRole("button", { name: "Send" }).click();
    await page.locator(".timeline-frame").getByText("from the composer").waitFor();
    await page.locator(".session-views").getByRole("button", { name: "Terminal" }).click();
    await shows(page, "» from the composer");
  });

  await t.step("a notification makes it wait for a person in the list", async () => {
    await page.locator(".xterm-helper-textarea").focus();
    await page.keyboard.insertText("later");
    await page.keyboard.press("Enter");
    await page.locator(".session-head").getByText("Waits for you").waitFor();
    await page.getByRole("heading", { name: "Needs you" }).or(page.locator(".sidebar").getByText("Needs you")).first()
      .waitFor();
    await page.getByRole("button", { name: "Timeline" }).click();
    await page.getByText("Parrot wants a cracker").waitFor();
    await picture(page, "session-timeline");
    // Coming back to the terminal is coming to it.
    await page.locator(".session-views").getByRole("button", { name: "Terminal" }).click();
    await page.locator(".session-head").getByText("Waits for you").waitFor({ state: "detached" });
  });

  await t.step("a phone shows it with its keys", async () => {
    const small = await site.page(await withoutWebgl(await site.device("phone")));
    await small.goto(page.url());
    await shows(small, "» from the composer");
    await small.getByRole("button", { name: "Esc", exact: true }).waitFor();
    await picture(small, "session-main-phone");
    await small.context().close();
  });

  await t.step("its end is told with the last of its screen, and it resumes", async () => {
    await page.locator(".xterm-helper-textarea").focus();
    await page.keyboard.insertText("bye");
    await page.keyboard.press("Enter");
    await page.getByText("The program exited with code 0").waitFor();
    await page.getByText("The program ended.").waitFor();
    await picture(page, "session-ended");
    await eventually(async () => await page.getByRole("button", { name: "Resume" }).isVisible(), "Resume");
    await page.getByRole("button", { name: "Resume" }).click();
    await shows(page, "(politely, please)");
  });

  await t.step("no page broke the content policy or asked another host", () => site.assertQuiet());
});
