/** A newcomer's first minutes in a real browser, at both widths: from the printed link to a changed file on disk. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { setupLink, startPerch } from "@/tests/start/perch_process.ts";
import { eventually } from "@/tests/support/patience.ts";
import { type Browser, launchBrowser, newDevice, type Page, type Size, watchPage } from "./browser.ts";

const account = { name: "Ada Lovelace", email: "ada@example.com", password: "Perch1234" };

async function makeAccount(page: Page, link: string): Promise<void> {
  await page.goto(link);
  await page.getByLabel("Name").fill(account.name);
  await page.getByLabel("Email").fill(account.email);
  await page.getByLabel("Password", { exact: true }).fill(account.password);
  await page.getByRole("button", { name: "Create account" }).click();
  await page.waitForURL("**/");
}

async function signIn(page: Page, url: string): Promise<void> {
  await page.goto(url);
  await page.waitForURL("**/login**");
  await page.getByLabel("Email").fill(account.email);
  await page.getByLabel("Password", { exact: true }).fill(account.password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL(`${url}/`);
}

async function sendPrompt(page: Page, text: string): Promise<void> {
  const field = page.getByRole("combobox", { name: "Prompt" }).or(page.getByRole("textbox", { name: "Prompt" }));
  await field.fill(text);
  await page.getByRole("button", { name: /^Send/ }).click();
}

/** What the timeline shows, as text. */
async function timelineText(page: Page): Promise<string> {
  return (await page.getByLabel("Timeline").innerText()).replaceAll(/\s+/g, " ").trim();
}

async function idle(page: Page): Promise<void> {
  await page.locator(".session-head").getByText("Idle").waitFor();
}

for (const size of ["phone", "desktop"] as const satisfies Size[]) {
  Deno.test(`${size}: set-up link, account, demo, permission, file on disk; a second browser; a reload in mid-stream`, async (t) => {
    const home = await Deno.makeTempDir({ prefix: "perch-browser-" });
    const { child, url } = await startPerch(home, { env: { PERCH_DEMO_TOKEN_MS: "8" } });
    await using _child = child;
    const browser: Browser = await launchBrowser();
    try {
      const first = await newDevice(browser, size);
      const page = await first.newPage();
      const problems = watchPage(page, url);

      await t.step("the set-up link makes the first account", async () => {
        await makeAccount(page, await setupLink(child));
        await page.getByRole("button", { name: "Start the demo" }).waitFor();
      });

      await t.step("the demo asks for permission, and the file is on disk only after it is allowed", async () => {
        await page.getByRole("button", { name: "Start the demo" }).click();
        await page.waitForURL("**/session/**");
        const card = page.getByRole("region", { name: "Permission needed" });
        await card.getByText("# Perch demo").waitFor();
        const file = join(home, "perch-demo.md");
        await assert.rejects(Deno.stat(file), Deno.errors.NotFound);
        await card.getByRole("button", { name: "Allow once" }).click();
        await page.getByText(`by ${account.name}`).waitFor();
        await idle(page);
        assert.match(
          await Deno.readTextFile(file),
          /^<!-- Written by Perch's demo agent.*# Perch demo.*1\. Show me what you can do\./s,
        );
        assert.match(await timelineText(page), /Write perch-demo\.md/);
      });

      const second = await newDevice(browser, size, "dark");
      const other = await second.newPage();
      const otherProblems = watchPage(other, url);
      await t.step("a second browser signs in and sees the same session", async () => {
        await signIn(other, url);
        await other.getByText("Show me what you can do").first().click();
        await other.waitForURL("**/session/**");
        await other.getByText(`by ${account.name}`).waitFor();
        // Colours of code and diffs load after the text.
        await eventually(
          async () => await timelineText(other) === await timelineText(page),
          "the same timeline in both",
        )
          .catch(async () => assert.equal(await timelineText(other), await timelineText(page)));
      });

      await t.step("a reload in mid-stream loses and repeats nothing", async () => {
        await sendPrompt(page, "long");
        const answer = page.locator(".agent-message.is-open");
        await answer.filter({ hasText: /\w{3,}.*\w{3,}/s }).last().waitFor();
        await page.reload();
        await answer.waitFor();
        await page.reload();
        await answer.waitFor();
        await idle(page);
        await idle(other);
        const { entries } =
          await (await first.request.get(`${page.url().replace("/session/", "/api/sessions/")}/entries?limit=100`))
            .json();
        const written = entries.filter((entry: { kind: string }) => entry.kind === "agent_message").at(-1).body
          .text as string;
        const { longText } = await import("@/runner/agents/demo_script.ts");
        assert.equal(written, longText);
        // The same at three places: the page that was reloaded, the one that was not, and one that opens it now.
        const fresh = await first.newPage();
        await fresh.goto(page.url());
        await idle(fresh);
        const shown = await lastMessage(page);
        assert.ok(shown.length > 200);
        assert.equal(shown, await lastMessage(other));
        assert.equal(shown, await lastMessage(fresh));
        await fresh.close();
      });

      await t.step("no page logged an error or asked another host", () => {
        assert.deepEqual([...problems, ...otherProblems], []);
      });
    } finally {
      await browser.close();
    }
    assert.equal((await child.stop("SIGINT")).code, 0);
    await Deno.remove(home, { recursive: true });
  });
}

async function lastMessage(page: Page): Promise<string> {
  const message = page.locator(".agent-message").last();
  await message.waitFor();
  return (await message.innerText()).replaceAll(/\s+/g, " ").trim();
}
