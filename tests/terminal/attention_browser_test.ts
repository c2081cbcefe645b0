/** A terminal that asks for a person, as other pages see it: told over their sockets, without asking the hub again and again. */
import assert from "node:assert/strict";
import { openSite } from "@/tests/browser/site.ts";
import { eventually } from "@/tests/support/patience.ts";
import { startRunner } from "@/tests/support/runner.ts";
import { openTerminal, picture, shows, withoutWebgl } from "./page.ts";
import { makeTerminal, TerminalClient } from "./terminal_client.ts";

Deno.test("terminals that ask for a person, on other pages", async (t) => {
  await using site = await openSite();
  await using runner = await startRunner(site.hub, { env: { SHELL: "/bin/sh", PS1: "$ ", ENV: "" } });
  const { hub } = site;
  const desktop = await withoutWebgl(await site.device("desktop"));
  const dashboard = await site.page(desktop);
  await dashboard.goto(hub.url);
  const link = dashboard.getByRole("link", { name: /^Terminal on / });
  await link.waitFor();
  const { terminalId } = await makeTerminal(hub, runner, { command: ["/bin/sh", "-c", "exec cat"] });
  await using client = await TerminalClient.open(hub, runner.runnerId, terminalId);

  const page = await site.page(desktop);
  const asked: string[] = [];
  page.on("request", (request) => {
    if (request.method() === "GET" && request.url().includes("/api/terminals")) asked.push(request.url());
  });
  await openTerminal(site, page, runner);
  // A second tab, which is the one that is shown.
  await page.getByRole("button", { name: "New terminal" }).click();
  await page.getByRole("tab").nth(1).waitFor();
  await shows(page, "$");
  const other = await site.page(await withoutWebgl(await site.device("phone", "dark")));
  await other.goto(`${hub.url}/runner/${runner.runnerId}`);
  await other.getByRole("link", { name: "2 terminals" }).waitFor();

  await t.step("a notification marks the tab, the runner in the dashboard, and the runner's page", async () => {
    const before = asked.length;
    client.type("\x1b]9;Deploy wants an answer\x07\n");
    await page.getByRole("tab", { name: "needs you" }).waitFor();
    await dashboard.getByRole("link", { name: "1 waiting for you" }).waitFor();
    await other.getByRole("link", { name: "cat: Deploy wants an answer" }).or(
      other.getByRole("link", { name: "sh: Deploy wants an answer" }),
    ).waitFor();
    assert.ok(asked.length - before <= 2, `the list was read ${asked.length - before} times for it`);
    await picture(page, "attention");
    await picture(other, "runner-attention");
  });

  await t.step("the runner's page leads to it, and who comes to it calms all of them", async () => {
    await other.getByRole("link", { name: "Deploy wants an answer" }).tap();
    await other.getByRole("tab", { selected: true }).waitFor();
    await shows(other, "Deploy wants an answer");
    await page.getByRole("tab", { name: "needs you" }).waitFor({ state: "detached" });
    await dashboard.getByRole("link", { name: "1 waiting for you" }).waitFor({ state: "detached" });
  });

  await t.step("tabs appear, are told to have exited, and go, on every page that shows them", async () => {
    assert.equal(await page.getByRole("tab").count(), 2);
    const { terminalId } = await makeTerminal(hub, runner, { command: ["/bin/sh", "-c", "read x; exit 4"] });
    await page.getByRole("tab").nth(2).waitFor();
    await using third = await TerminalClient.open(hub, runner.runnerId, terminalId);
    third.type("\r");
    await page.getByRole("tab", { name: "exited" }).waitFor();
    await hub.api("DELETE", `/api/terminals/${terminalId}?runnerId=${runner.runnerId}`);
    await page.getByRole("tab", { name: "exited" }).waitFor({ state: "detached" });
  });

  await t.step("a session in a terminal asks in the dashboard's list like any other", async () => {
    const sessionId = await runner.startSession({
      agentId: "terminal",
      command: ["/bin/sh", "-c", "read x; printf '\\033]777;notify;Build;is done\\007'; exec cat"],
    });
    await dashboard.locator(`a[href="/session/${sessionId}"]`).waitFor();
    await using session = await eventually(
      () => TerminalClient.open(hub, runner.runnerId, sessionId).catch(() => null),
      "the session's terminal",
    );
    session.type("\r");
    const needsYou = dashboard.locator("section").filter({
      has: dashboard.getByRole("heading", { name: "Needs you" }),
    });
    await needsYou.locator(`a[href="/session/${sessionId}"]`).waitFor();
    await eventually(async () => /^\(1\)/.test(await dashboard.title()), "its count in the title");
    session.type("hello");
    await eventually(async () => !/^\(1\)/.test(await dashboard.title()), "calm");
  });

  await t.step("no page broke the content policy or asked another host", () => site.assertQuiet());
});
