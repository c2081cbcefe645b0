/** The ports of a runner's page, as people use them: exposed, opened, copied, shared, watched, limited, closed. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Page } from "../browser/browser.ts";
import { openSite } from "../browser/site.ts";
import { eventually } from "../support/patience.ts";
import { startRunner } from "../support/runner.ts";
import { openTunnelSocket } from "./socket_client.ts";
import { localServer, TunnelClient } from "./support.ts";

const images = join(import.meta.dirname!, "../../docs/images");
const keepsImages = Deno.env.get("PERCH_SCREENSHOTS") === "1";

async function picture(page: Page, name: string): Promise<void> {
  if (keepsImages) await page.screenshot({ path: join(images, `tunnel-${name}.png`), fullPage: true });
}

/** A page that holds a WebSocket and says when it is gone. */
const page = `<!doctype html><title>guests</title><h1>The guests' page</h1><p id="state">connecting</p><script>
const socket = new WebSocket("ws://" + location.host + "/socket");
socket.onopen = () => state.textContent = "connected";
socket.onclose = () => state.textContent = "gone";</script>`;

Deno.test("the ports of a runner's page", async (t) => {
  await using site = await openSite();
  await using runner = await startRunner(site.hub, { args: ["--tunnel-host", "127.0.0.2"] });
  const { hub } = site;
  await using local = localServer((req) => {
    if (req.headers.get("upgrade") === "websocket") return Deno.upgradeWebSocket(req).response;
    return new Response(page, { headers: { "content-type": "text/html" } });
  });
  const sessionId = await runner.startSession({ agentId: "demo" });
  await hub.api("POST", `/api/sessions/${sessionId}/commands`, {
    op: crypto.randomUUID(),
    command: { kind: "rename", title: "The pond" },
  });
  const device = await site.device("desktop");
  await device.grantPermissions(["clipboard-read", "clipboard-write"], { origin: hub.url });
  const owner = await site.page(device);
  const rows = () => hub.api("GET", "/api/tunnels").then(({ tunnels }) => tunnels);
  const item = (name: string) =>
    owner.locator(".tunnel").filter({ has: owner.getByRole("heading", { name, exact: true }) });
  const field = (name: string) => owner.getByLabel(name, { exact: true });

  await t.step("the dashboard leads to it; what cannot be exposed is said at its field", async () => {
    await owner.goto(hub.url);
    await owner.getByRole("link", { name: runner.name, exact: true }).click();
    await owner.getByText("No port is exposed.").waitFor();
    await field("Port").fill("http");
    await owner.getByRole("button", { name: "Expose" }).click();
    await owner.getByText("A port is a number from 1 to 65535.").waitFor();
    assert.equal(await field("Port").getAttribute("aria-invalid"), "true");
    assert.deepEqual(await rows(), []);
  });

  await t.step("a port is exposed, with a name and for a session", async () => {
    await field("Port").fill(`${local.port}`);
    await field("Name").fill("Guests");
    await field("Session").selectOption({ label: "The pond" });
    await owner.getByRole("button", { name: "Expose" }).click();
    await item("Guests").getByRole("link", { name: "The pond" }).waitFor();
    const [row] = await rows();
    assert.deepEqual([row.name, row.port, row.host, row.sessionId], ["Guests", local.port, null, sessionId]);
  });
  const tunnelId = (await rows())[0].tunnelId;
  const origin = `http://${tunnelId}.localhost:${hub.port}`;

  await t.step("it opens in a tab, and its address can be copied", async () => {
    const opened = device.waitForEvent("page");
    await owner.getByRole("link", { name: "Open Guests in a new tab" }).click();
    const tab = await opened;
    await tab.getByText("connected").waitFor();
    assert.equal(tab.url(), `${origin}/`);
    await tab.close();
    await item("Guests").getByRole("button", { name: "Copy address" }).click();
    await item("Guests").getByText("Copied").waitFor();
    assert.equal(await owner.evaluate(() => navigator.clipboard.readText()), `${origin}/`);
  });

  await t.step("what others expose, rename and close is shown without a reload, also of no session", async () => {
    const { tunnel } = await hub.api("POST", "/api/tunnels", { runnerId: runner.runnerId, port: 9, name: "Other" });
    await item("Other").waitFor();
    await hub.api("PATCH", `/api/tunnels/${tunnel.tunnelId}`, { name: "Another", bounds: { bytesPerS: 1_500_000 } });
    await item("Another").getByText("at most 1.5 MB/s").waitFor();
    await hub.api("DELETE", `/api/tunnels/${tunnel.tunnelId}`);
    await item("Another").waitFor({ state: "detached" });
    await hub.api("POST", "/api/tunnels", { runnerId: runner.runnerId, port: 9, name: "Brief", ttlMs: 2_000 });
    await item("Brief").waitFor();
    await item("Brief").waitFor({ state: "detached" });
    await item("Guests").waitFor();
  });

  await t.step("limits in units that people use; what is wrong is said at its field", async () => {
    await item("Guests").getByRole("button", { name: "Settings" }).click();
    await field("Requests at once").fill("0");
    await field("Speed").fill("2 megs");
    await owner.getByRole("button", { name: "Save" }).click();
    await owner.getByText("Requests at once are a number from 1 to 512.").waitFor();
    await field("Requests at once").fill("20");
    await owner.getByRole("button", { name: "Save" }).click();
    await owner.getByText("Write a speed like").waitFor();
    assert.equal(await field("Speed").getAttribute("aria-invalid"), "true");
    await field("Speed").fill("5 B/s");
    await owner.getByRole("button", { name: "Save" }).click();
    await owner.getByText("A speed is from 1 kB/s to 10 GB/s.").waitFor();
    await field("Speed").fill("2.5 MB/s");
    await owner.getByRole("button", { name: "Save" }).click();
    await item("Guests").getByText("at most 2.5 MB/s").waitFor();
    await owner.getByText("Saved").waitFor();
    assert.deepEqual((await rows())[0].bounds, { connections: 20, bytesPerS: 2_500_000 });
    await field("Name").fill("Guests of the pond");
    await field("Speed").fill("");
    await owner.getByRole("button", { name: "Save" }).click();
    await item("Guests of the pond").waitFor();
    assert.deepEqual((await rows())[0].bounds, { connections: 20, bytesPerS: null });
    await field("Name").fill("Guests");
    await owner.getByRole("button", { name: "Save" }).click();
    await item("Guests").waitFor();
  });

  await t.step("hosts that the runner's owner allows can be chosen, and no others", async () => {
    await owner.getByRole("button", { name: "Expose a port" }).click();
    await owner.getByText("More options").click();
    assert.deepEqual(await field("Host").getByRole("option").allTextContents(), ["This machine", "127.0.0.2"]);
    await field("Host").selectOption("127.0.0.2");
    await field("Port").fill("9");
    await owner.getByRole("button", { name: "Expose", exact: true }).click();
    await item("127.0.0.2:9").getByText("127.0.0.2:9").first().waitFor();
    await owner.getByRole("button", { name: "Close 127.0.0.2:9" }).click();
    await owner.getByRole("button", { name: "Close the port" }).click();
    await item("127.0.0.2:9").waitFor({ state: "detached" });
  });

  const guests = await site.browser.newContext();
  guests.setDefaultTimeout(20_000);
  const guest = await guests.newPage();
  let link = "";

  await t.step("a share link with an end and a password, in a browser that has nothing else", async () => {
    await item("Guests").getByRole("button", { name: "Share" }).click();
    await field("For").fill("Bob");
    await field("Ends").selectOption({ label: "In an hour" });
    await field("Password").fill("reed");
    await owner.getByRole("button", { name: "Create link" }).click();
    link = await owner.locator(".shown-once code").innerText();
    const [share] = (await rows())[0].shares;
    assert.deepEqual([share.name, share.hasPassword], ["Bob", true]);
    assert.equal(share.expiresAt - share.createdAt, 60 * 60 * 1000);
    await guest.route(
      "**/__perch/enter",
      (route) => route.request().method() === "POST" ? route.abort() : route.continue(),
    );
    await guest.goto(link);
    await guest.getByText("The hub cannot be reached").waitFor();
    await guest.unroute("**/__perch/enter");
    await guest.getByRole("button", { name: "Try again" }).click();
    await guest.getByText("Whoever gave you the link knows it.").waitFor();
    await guest.getByLabel("Password of this link").fill("wrong");
    await guest.getByRole("button", { name: "Open" }).click();
    await guest.getByText("the password is wrong").waitFor();
    await guest.getByLabel("Password of this link").fill("reed");
    await guest.getByRole("button", { name: "Open" }).click();
    await guest.getByText("connected").waitFor();
    assert.equal(guest.url(), `${origin}/`);
    const cookies = await guests.cookies();
    assert.deepEqual(cookies.map(({ name, domain, httpOnly }) => [name, domain, httpOnly]), [
      ["perch_tunnel", new URL(origin).hostname, true],
    ]);
    assert.ok(cookies[0]!.expires * 1_000 <= share.expiresAt + 1_000, "no longer than the link");
    // It is a guest of that tunnel, and nobody on the hub.
    assert.equal((await guest.goto(`${hub.url}/api/sessions`))?.status(), 401);
    await guest.goto(`${origin}/`);
    await guest.getByText("connected").waitFor();
  });

  await t.step("the log shows what goes on, and who does it, while it is looked at", async () => {
    await item("Guests").getByRole("button", { name: "Access log" }).click();
    const log = owner.getByRole("region", { name: "Access log of Guests" });
    const line = (...texts: string[]) =>
      texts.reduce((rows, text) => rows.filter({ hasText: text }), log.getByRole("row"));
    await line("/socket", "Bob", "under way").waitFor();
    const client = new TunnelClient(hub, tunnelId);
    await client.enter();
    await client.ask("GET", "/seen-at-once?x=1");
    await line("GET /seen-at-once?x=1", "owner", "200").waitFor();
    const { socket } = await openTunnelSocket(client, "/brief");
    await line("/brief", "owner", "under way").waitFor();
    await picture(owner, "panel");
    socket.close();
    await line("/brief", "owner", "101", "WebSocket").waitFor();
  });

  await t.step("removing the link cuts whoever came through it, and lets nobody in again", async () => {
    await item("Guests").getByRole("button", { name: "Share" }).click();
    await owner.getByRole("button", { name: "Remove Bob" }).click();
    await guest.getByText("gone").waitFor();
    assert.equal((await guest.reload())?.status(), 401);
    await guest.getByText("Open this from Perch").waitFor();
    await guest.goto(link);
    await guest.getByText("not valid, or not any more").waitFor();
    await owner.getByRole("button", { name: "Remove Bob" }).waitFor({ state: "detached" });
    const expired = await hub.api("POST", `/api/tunnels/${tunnelId}/shares`, { ttlMs: 2_000 });
    await guest.goto(expired.url);
    await guest.getByText("connected").waitFor();
    await guest.getByText("gone").waitFor();
    assert.equal((await guest.reload())?.status(), 401);
  });

  await t.step("a machine that is offline is said to be, and exposes nothing", async () => {
    await owner.getByRole("button", { name: "Expose a port" }).click();
    assert.ok(await field("Port").evaluate((input) => input === document.activeElement), "ready to be typed into");
    await owner.keyboard.press("Tab");
    await using second = await startRunner(hub);
    const other = await site.page(device);
    await other.goto(`${hub.url}/runner/${second.runnerId}`);
    await other.getByRole("button", { name: "Expose" }).waitFor();
    await second.child.stop();
    await other.getByText("The runner is offline").waitFor();
    assert.ok(await other.getByRole("button", { name: "Expose" }).isDisabled());
    await other.close();
  });

  await t.step("with the keyboard alone: exposed, opened, closed", async () => {
    await field("Port").focus();
    await owner.keyboard.type("8081");
    await owner.keyboard.press("Enter");
    await item("Port 8081").waitFor();
    await item("Port 8081").getByRole("button", { name: "Close Port 8081" }).focus();
    await owner.keyboard.press("Enter");
    await owner.getByRole("dialog").waitFor();
    await owner.keyboard.press("Escape");
    // Not by its role: that goes a moment before the page has heard of it.
    await owner.locator("dialog").waitFor({ state: "detached" });
    await item("Port 8081").waitFor();
    await owner.keyboard.press("Enter");
    await owner.getByRole("button", { name: "Close the port" }).focus();
    await owner.keyboard.press("Enter");
    await item("Port 8081").waitFor({ state: "detached" });
  });

  await t.step("closing it cuts what is under way; its address leads nowhere any more", async () => {
    const tab = await device.newPage();
    await tab.goto(`${hub.url}/tunnel/${tunnelId}`);
    await tab.getByText("connected").waitFor();
    await owner.getByRole("button", { name: "Close Guests" }).click();
    await owner.getByRole("button", { name: "Close the port" }).click();
    await owner.getByText("No port is exposed.").waitFor();
    await tab.getByText("gone").waitFor();
    await eventually(async () => (await tab.reload())?.status() === 404, "the end of the address");
    assert.deepEqual(await rows(), []);
    await tab.close();
  });
  await guests.close();
  site.assertQuiet(/status of (400|409)|ERR_ABORTED/);
});
