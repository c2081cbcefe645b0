/** What goes wrong around a terminal, as a person sees it: a killed hub, a dead runner, a lost GPU, a page that does not keep up. */
import assert from "node:assert/strict";
import type { Page } from "@/tests/browser/browser.ts";
import { openSite } from "@/tests/browser/site.ts";
import { killPid } from "@/tests/support/child.ts";
import { eventually } from "@/tests/support/patience.ts";
import { startRunner } from "@/tests/support/runner.ts";
import { openTerminal, picture, screenText, shows, type, withoutWebgl } from "./page.ts";

/** How long the page does nothing at all. */
const BUSY_MS = 3_000;

async function isDimmed(page: Page): Promise<boolean> {
  return await page.locator(".terminal.is-lost").count() > 0;
}

Deno.test("faults around a terminal, in a browser", async (t) => {
  await using site = await openSite();
  await using runner = await startRunner(site.hub, { env: { SHELL: "/bin/sh", PS1: "$ ", ENV: "" } });
  const desktop = await withoutWebgl(await site.device("desktop"));
  const page = await site.page(desktop);
  await openTerminal(site, page, runner);
  await shows(page, "$");

  await t.step("a page that does nothing for seconds sees the end of a flood, and what follows", async () => {
    await type(page, "clear; seq 1 4000000; echo the very last line");
    await shows(page, /\d{5}/);
    // As a page in the background, or a slow phone: nothing is read, nothing is shown.
    await page.evaluate((busyMs) => {
      const end = performance.now() + busyMs;
      while (performance.now() < end);
    }, BUSY_MS);
    await shows(page, /4000000\nthe very last line/);
    await type(page, "clear; echo still $((40 + 2))");
    await shows(page, "still 42");
  });

  await t.step("a killed hub: the screen dims and says so; then it is the same screen and the same shell", async () => {
    await type(page, "clear; kept=yes; seq 1 100; echo pid $$");
    await shows(page, /pid \d+\n\$/);
    const before = await screenText(page);
    await site.hub.kill9();
    await page.getByText("The connection is lost. Trying again…").waitFor();
    assert.ok(await isDimmed(page));
    await picture(page, "lost");
    assert.equal(await screenText(page), before);
    await site.hub.restart();
    await page.getByText("Trying again…").waitFor({ state: "detached" });
    await eventually(async () => !await isDimmed(page), "the connection");
    await eventually(async () => await screenText(page) === before, "the same screen");
    await type(page, "clear; echo kept=$kept");
    await shows(page, "kept=yes");
  });

  await t.step("a dead runner: its terminal says that it is gone, and a new one opens", async () => {
    killPid(await runner.daemonPid());
    await page.getByText("This terminal is gone: it was closed, or its runner stopped.").waitFor();
    await picture(page, "gone");
    // What it last showed can still be read.
    assert.match(await screenText(page), /kept=yes/);
    await page.getByRole("alert").getByRole("button", { name: "Close" }).click();
    await page.getByText("No terminal is open.").waitFor();
    await picture(page, "none");
    await page.getByRole("button", { name: /^Open a shell in/ }).click();
    await shows(page, "$");
    await type(page, "echo kept=$kept.");
    await shows(page, "kept=.");
  });

  await t.step("links that a program prints open after a question; others than the web's do not", async () => {
    const target = `${site.hub.url}/healthz`;
    const questions: string[] = [];
    let isAccepted = false;
    page.on("dialog", (dialog) => {
      questions.push(dialog.message());
      void (isAccepted ? dialog.accept() : dialog.dismiss());
    });
    /** Prints something, moves the pointer over it, clicks. */
    const clickOn = async (text: string, { isLink }: { isLink: boolean }) => {
      await type(page, "clear");
      await shows(page, /^\$\s*$/);
      await type(page, text);
      await shows(page, /^click:/m);
      const row = page.locator(".xterm-rows > div").filter({ hasText: "click:" }).last();
      const { x, y, height } = (await row.boundingBox())!;
      // A link is found when the pointer comes to its row, from another one.
      let at = 80;
      const move = async () => {
        at = at === 80 ? 100 : 80;
        await page.mouse.move(x + at, y + 5 * height);
        await page.mouse.move(x + at, y + height / 2);
        return await page.locator(".xterm-cursor-pointer").count() > 0;
      };
      if (isLink) await eventually(move, "a link under the pointer");
      else await move();
      await page.mouse.click(x + at, y + height / 2);
      await page.mouse.move(0, 0);
    };
    const file = "\\033]8;;file:///etc/passwd\\033\\\\";
    await clickOn(`printf '${file}click:xxxxxxxxxxxxxxxxxxx\\033]8;;\\033\\\\\\n'`, { isLink: false });
    await clickOn(`printf 'click: ${target}\\n'`, { isLink: true });
    await eventually(() => questions.length > 0, "the question");
    assert.deepEqual(questions, [`Open this link from the terminal?\n\n${target}`]);
    isAccepted = true;
    const opened = desktop.waitForEvent("page");
    await clickOn(`printf 'click: ${target}\\n'`, { isLink: true });
    const tab = await opened;
    await tab.waitForURL(target);
    assert.equal(await tab.evaluate(() => opener), null);
    await tab.close();
  });

  await t.step("the tab has the program's title", async () => {
    await type(page, "printf '\\033]2;building \\342\\200\\256it\\007'");
    await page.getByRole("tab", { name: "building it" }).waitFor();
  });

  await t.step(
    "no page broke the content policy or asked another host",
    () => site.assertQuiet(/ERR_CONNECTION_REFUSED|WebSocket|Failed to load resource|Failed to fetch/),
  );
});

Deno.test("a terminal is drawn with WebGL where there is one, and without when it is taken away", async () => {
  await using site = await openSite();
  await using runner = await startRunner(site.hub, { env: { SHELL: "/bin/sh", PS1: "$ ", ENV: "" } });
  const page = await site.page(await site.device("desktop"));
  await openTerminal(site, page, runner);
  const canvases = () => page.locator(".xterm-screen canvas:not(.xterm-link-layer)").count();
  await eventually(async () => await canvases() > 0, "a canvas of WebGL");
  assert.equal((await screenText(page)).trim(), "", "the DOM has no text while WebGL draws it");
  await type(page, "clear; echo still $((40 + 2))");
  await page.evaluate(() => {
    for (const canvas of document.querySelectorAll<HTMLCanvasElement>(".xterm-screen canvas")) {
      canvas.getContext("webgl2")?.getExtension("WEBGL_lose_context")?.loseContext();
    }
  });
  await shows(page, "still 42");
  assert.equal(await canvases(), 0);
  await type(page, "echo again $((40 + 2))");
  await shows(page, "again 42");

  // This browser tells the renderer of an emulated phone other pixels than it draws: WebGL would show nothing there.
  const phone = await site.page(await site.device("phone"));
  await openTerminal(site, phone, runner);
  await type(phone, "echo here $((40 + 2))");
  await shows(phone, "here 42");
});
