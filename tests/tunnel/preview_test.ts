/** What a session listens on, seen in a browser: the card, the preview beside the timeline, and what becomes of both. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Locator, Page } from "../browser/browser.ts";
import { openSite } from "../browser/site.ts";
import { eventually } from "../support/patience.ts";
import { startRunner } from "../support/runner.ts";
import { localServer } from "./support.ts";

const images = join(import.meta.dirname!, "../../docs/images");
const keepsImages = Deno.env.get("PERCH_SCREENSHOTS") === "1";

async function picture(page: Page, name: string): Promise<void> {
  if (keepsImages) await page.screenshot({ path: join(images, `tunnel-${name}.png`) });
}

async function hasFocus(page: Page, wanted: Locator): Promise<void> {
  const element = await wanted.elementHandle();
  await page.waitForFunction((element) => element === document.activeElement, element);
}

const agent = [Deno.execPath(), "run", "-A", "--quiet", join(import.meta.dirname!, "listening_agent.ts")];

Deno.test("a port that an agent's session listens on", async (t) => {
  await using site = await openSite();
  await using runner = await startRunner(site.hub);
  const { hub } = site;
  const desktop = await site.device("desktop");
  const page = await site.page(desktop);
  const card = page.getByRole("region", { name: /^Port \d+$/ });
  const pane = page.getByRole("complementary");
  const frame = page.frameLocator(".side-frame");
  const sessionId = await runner.startSession(
    { agentId: "custom", command: agent },
    "Show me the page of the pond while you work on it",
  );
  let port = 0;

  await t.step("its card names port and process; Preview opens it beside the timeline", async () => {
    await page.goto(`${hub.url}/session/${sessionId}`);
    await card.getByText("is listening").waitFor();
    port = Number(/\d+/.exec(await card.getByRole("strong").innerText())?.[0]);
    assert.match(await card.innerText(), /deno/);
    await picture(page, "card");
    await card.getByRole("button", { name: "Preview" }).click();
    await frame.getByText("eleven, one of them shy").waitFor();
    await card.waitFor({ state: "detached" });
    // Beside it: both can be seen, and neither covers the other.
    const timeline = (await page.locator(".timeline").boundingBox())!;
    const preview = (await page.locator(".side-frame").boundingBox())!;
    assert.ok(timeline.width > 300 && preview.width > 300);
    assert.ok(timeline.x + timeline.width <= preview.x);
    await page.locator(".timeline").getByText("The page of the pond is ready").waitFor();
    await picture(page, "preview");
  });

  await t.step("it was exposed to nobody else, in this session, under its number", async () => {
    const { tunnels } = await hub.api("GET", `/api/tunnels?sessionId=${sessionId}`);
    const told = tunnels.map((tunnel: Record<string, unknown>) => [tunnel.port, tunnel.name, tunnel.shares]);
    assert.deepEqual(told, [[port, `Port ${port}`, []]]);
  });

  await t.step("the edge between both is moved with the keyboard and dragged, and stays there", async () => {
    const width = async () => Math.round((await pane.boundingBox())!.width / 14.4);
    assert.equal(await width(), 50);
    const handle = page.getByRole("separator", { name: "Width" });
    await handle.focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    assert.equal(await width(), 40);
    const { x, y } = (await handle.boundingBox())!;
    await page.mouse.move(x + 4, y + 300);
    await page.mouse.down();
    await page.mouse.move(x - 200, y + 300, { steps: 4 });
    await page.mouse.up();
    const dragged = await width();
    assert.ok(dragged > 50 && dragged < 58, `${dragged}`);
    await page.getByRole("button", { name: "Reload" }).click();
    await frame.getByText("The pond").waitFor();
    await handle.focus();
    await page.keyboard.press("Escape");
    await pane.waitFor({ state: "detached" });
    const ports = page.getByRole("button", { name: "1 exposed port" });
    await hasFocus(page, page.getByLabel("Session menu"));
    await ports.focus();
    await page.keyboard.press("Enter");
    await hasFocus(page, pane);
    assert.equal(await width(), dragged);
    await page.keyboard.press("Escape");
    await hasFocus(page, ports);
    await page.keyboard.press("Enter");
    await handle.focus();
    await page.keyboard.press("ArrowRight");
  });

  await t.step("a card that was dismissed stays away; the port is still in reach", async () => {
    await pane.getByRole("button", { name: `Close Port ${port}` }).click();
    await page.getByRole("button", { name: "Close the port" }).click();
    await card.waitFor();
    await card.getByRole("button", { name: `Dismiss port ${port}` }).click();
    await card.waitFor({ state: "detached" });
    await page.reload();
    await page.locator(".timeline").getByText("The page of the pond is ready").waitFor();
    await page.getByLabel("Session menu").click();
    await page.getByRole("button", { name: "Ports" }).click();
    await page.getByLabel("Port", { exact: true }).fill(`${port}`);
    assert.equal(await card.count(), 0);
    await pane.getByRole("button", { name: "Expose", exact: true }).click();
    await pane.getByRole("heading", { name: `Port ${port}` }).waitFor();
  });

  await t.step("on a phone it lies over the timeline, which comes back", async () => {
    const phone = await site.device("phone");
    const small = await site.page(phone);
    await small.goto(`${hub.url}/session/${sessionId}`);
    await small.getByRole("button", { name: "1 exposed port" }).click();
    await small.getByRole("button", { name: /^Preview/ }).click();
    await small.frameLocator(".side-frame").getByText("eleven, one of them shy").waitFor();
    await picture(small, "preview-phone");
    assert.equal(await small.getByRole("textbox", { name: "Prompt" }).count(), 0, "what is covered cannot be reached");
    await small.getByRole("button", { name: "Close", exact: true }).click();
    await small.getByRole("textbox", { name: "Prompt" }).waitFor();
    await hasFocus(small, small.getByRole("button", { name: "1 exposed port" }));
    await phone.close();
  });

  await t.step("a port of a session in a terminal has its card, too, and opens in a tab", async () => {
    const local = join(runner.work, "server.ts");
    await Deno.writeTextFile(
      local,
      `Deno.serve({ hostname: "127.0.0.1", port: 0 }, () => new Response("from the terminal"));`,
    );
    const inTerminal = await runner.startSession({
      agentId: "terminal",
      command: [Deno.execPath(), "run", "--allow-net", local],
    });
    await page.goto(`${hub.url}/session/${inTerminal}`);
    await card.waitFor();
    const opened = desktop.waitForEvent("page");
    await card.getByRole("button", { name: /in a new tab$/ }).click();
    const tab = await opened;
    await tab.getByText("from the terminal").waitFor();
    assert.match(new URL(tab.url()).hostname, /^[a-z2-7]{26}\.localhost$/);
    await tab.close();
    // When its process ends, so does the card of a port that nobody exposed.
    await hub.api("DELETE", `/api/tunnels/${(await tunnelsOf(inTerminal))[0].tunnelId}`);
    await card.waitFor();
    await hub.api("POST", `/api/sessions/${inTerminal}/kill`, {});
    await card.waitFor({ state: "detached" });
  });

  await t.step("what a command exposes for the session shows up by itself, and goes by itself", async () => {
    await page.goto(`${hub.url}/session/${sessionId}`);
    await page.getByRole("button", { name: "1 exposed port" }).waitFor();
    await using more = localServer(() => new Response("more"));
    const { tunnel } = await hub.api("POST", "/api/tunnels", {
      runnerId: runner.runnerId,
      port: more.port,
      sessionId,
      name: "Docs",
    });
    await page.getByRole("button", { name: "2 exposed ports" }).getByText(`Port ${port}, Docs`).waitFor();
    await hub.api("DELETE", `/api/tunnels/${tunnel.tunnelId}`);
    await page.getByRole("button", { name: "1 exposed port" }).waitFor();
  });

  async function tunnelsOf(id: string) {
    return await eventually(async () => {
      const { tunnels } = await hub.api("GET", `/api/tunnels?sessionId=${id}`);
      return tunnels.length > 0 ? tunnels : null;
    }, "the tunnel");
  }
});
