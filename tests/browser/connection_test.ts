/** What the page says and keeps when the hub or the runner is not there, and when two people answer at once. */
import assert from "node:assert/strict";
import { eventually } from "@/tests/support/patience.ts";
import type { Page } from "./browser.ts";
import { entryOf, permission } from "./entries.ts";
import { openSite, promptField, type Site } from "./site.ts";

async function send(page: Page, text: string): Promise<void> {
  await promptField(page).fill(text);
  await page.getByRole("button", { name: /^Send/ }).click();
}

async function openSession(site: Site, host: { sessionId: string }): Promise<Page> {
  const page = await site.page(await site.device("desktop"));
  await page.goto(site.urlOf(host));
  await connection(page, "Live");
  return page;
}

async function connection(page: Page, text: string | RegExp): Promise<void> {
  await page.locator(".session-head .connection").getByText(text).waitFor();
}

Deno.test("a hub that was killed: the page says so, keeps what is typed through a reload, and it is done once", async (t) => {
  await using site = await openSite();
  await using host = await site.session("Kept", {}, { onCommand: () => ({ status: "applied" }) });
  host.write(entryOf(0, "agent_message", { text: "Before the break." }));
  await host.settled();
  const page = await openSession(site, host);
  await page.getByText("Before the break.").waitFor();
  const prompts = () =>
    host.commands.filter(({ command }) => command.kind === "prompt").map(({ command }) => command.text);

  await t.step("the page says that the connection is gone, and keeps a prompt", async () => {
    await site.hub.kill9();
    await connection(page, /^Reconnecting in \d+ s$/);
    await page.getByText("Before the break.").waitFor();
    await send(page, "Typed in the dark");
    await page.getByText("Kept here; it is sent when the connection is back").waitFor();
    assert.equal(await promptField(page).inputValue(), "");
  });

  await t.step("the draft survives as well", async () => {
    await promptField(page).fill("Half a thought");
  });

  await t.step("after the restart it is applied, once", async () => {
    await site.hub.restart();
    await connection(page, "Live");
    await host.until(() => prompts().length > 0, "the prompt");
    await page.getByText("The agent has it").waitFor();
    host.write(entryOf(1, "user_message", { text: "Typed in the dark", op: host.commands[0]!.op }));
    host.write(entryOf(2, "agent_message", { text: "After the break." }));
    await page.getByText("After the break.").waitFor();
    await page.locator(".is-ghost").waitFor({ state: "detached" });
    assert.equal(await page.getByText("Typed in the dark").count(), 1);
    assert.equal(await promptField(page).inputValue(), "Half a thought");
    assert.deepEqual(prompts(), ["Typed in the dark"]);
  });

  await t.step("a reload while the hub takes nothing keeps a prompt too", async () => {
    // The page can be loaded, its socket cannot be opened: as behind a proxy that has lost the hub.
    await page.routeWebSocket(/\/ws\//, (socket) => socket.close());
    await page.reload();
    await connection(page, /^(Connecting|Reconnecting)/);
    await send(page, "Typed before the reload");
    await page.getByText("Kept here").waitFor();
    await page.reload();
    await page.getByText("Typed before the reload").waitFor();
    await page.getByText("Kept here").waitFor();
    assert.deepEqual(prompts(), ["Typed in the dark"]);
    await page.unrouteAll();
    await page.routeWebSocket(/\/ws\//, (socket) => void socket.connectToServer());
    await host.until(() => prompts().length > 1, "the second prompt");
    await page.getByText("The agent has it").waitFor();
    assert.deepEqual(prompts(), ["Typed in the dark", "Typed before the reload"]);
  });

  await t.step("so does a reload that ends on the browser's own error page", async () => {
    await site.hub.kill9();
    await connection(page, /^Reconnecting/);
    await send(page, "Typed before the end");
    await page.getByText("Kept here").waitFor();
    await assert.rejects(page.reload());
    await site.hub.restart();
    await page.goto(site.urlOf(host));
    await host.until(() => prompts().length > 2, "the third prompt");
    await page.getByText("Typed before the end").waitFor();
    assert.deepEqual(prompts(), ["Typed in the dark", "Typed before the reload", "Typed before the end"]);
  });
  site.assertQuiet(/ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|WebSocket connection to/);
});

Deno.test("a runner that is not there: the page says so, and a command waits where it can be seen", async () => {
  await using site = await openSite();
  const first = await site.session("Away");
  const page = await openSession(site, first);
  await first[Symbol.asyncDispose]();
  await connection(page, "Runner offline");
  await send(page, "When you are back");
  await page.getByText("The hub has it; it waits for the runner").waitFor();
  await page.reload();
  await page.getByText("When you are back").waitFor();
  await page.getByText("The hub has it; it waits for the runner").waitFor();
  await page.goto(site.hub.url);
  await page.getByText("runner offline").waitFor();
  site.assertQuiet();
});

Deno.test("two tabs answer one question: the first wins, the second is told who; a refused prompt comes back", async (t) => {
  await using site = await openSite();
  const answers: string[] = [];
  await using host = await site.session("Asked", { activity: "waiting", attention: 1 }, {
    onCommand({ op, command }) {
      if (command.kind === "prompt") return { status: "rejected", reason: "the model refuses it" };
      answers.push(command.optionId);
      // The first wins; that is told when the second has answered, so that both were asked.
      if (answers.length === 1) return { status: "applied" };
      const asked = permission(0);
      host.write({
        ...asked,
        head: { ...asked.head, status: "completed", attention: false },
        body: {
          ...asked.body as object,
          answer: { outcome: "selected", optionId: answers[0], by: "Ann", op, at: 5_000 },
        },
      });
      return { status: "rejected", reason: "Ann has answered it already" };
    },
  });
  host.write(permission(0));
  await host.settled();
  const [first, second] = [await openSession(site, host), await openSession(site, host)];
  await t.step("two answers", async () => {
    await second.getByRole("button", { name: "Reject" }).waitFor();
    await first.getByRole("button", { name: "Allow once" }).click();
    await first.getByText(/waiting for the runner|Sending your answer/).waitFor();
    await second.getByRole("button", { name: "Reject" }).click();
    for (const page of [first, second]) {
      const answered = page.locator(".answered");
      await answered.getByText("by Ann").waitFor();
      await answered.getByText("Allow once").waitFor();
      await page.getByRole("button", { name: "Allow once" }).waitFor({ state: "detached" });
    }
    await second.getByText("Your answer did not count: Ann has answered it already").waitFor();
    assert.equal(await first.getByText("did not count").count(), 0);
    assert.deepEqual(answers, ["yes", "no"]);
  });
  await t.step("a refused prompt", async () => {
    await send(first, "Say something bad");
    await first.getByRole("alert").getByText("the model refuses it").waitFor();
    await eventually(async () => await promptField(first).inputValue() === "Say something bad", "the prompt's return");
    assert.equal(await first.locator(".is-ghost").count(), 0);
  });
  site.assertQuiet();
});
