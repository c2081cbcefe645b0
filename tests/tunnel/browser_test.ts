/** Tunnels in a real Chromium: going in, and what a hostile page must not get. */
import assert from "node:assert/strict";
import { launchBrowser, type Page } from "../browser/browser.ts";
import { localServer, startRig } from "./support.ts";

/** A page that tries everything against the hub and writes what it got into its title. */
const hostilePage = (hubUrl: string) =>
  `<!doctype html><title>…</title><script src="/app.js"></script><script>
const tried = {};
const attempt = async (name, work) => { try { tried[name] = await work(); } catch (error) { tried[name] = "refused"; } };
(async () => {
  await attempt("cookie", () => document.cookie.includes("perch") ? "read" : "none");
  await attempt("api", async () => (await fetch("${hubUrl}/api/sessions", { credentials: "include" })).text());
  await attempt("own-api", async () => (await (await fetch("/api/sessions")).text()).slice(0, 30));
  await attempt("post", async () => (await fetch("${hubUrl}/api/keys", { method: "POST", credentials: "include",
    headers: { "content-type": "application/json" }, body: "{\\"name\\":\\"stolen\\"}" })).status);
  await attempt("blind", async () => (await fetch("${hubUrl}/api/keys", { method: "POST", mode: "no-cors", credentials: "include",
    body: "{\\"name\\":\\"stolen\\"}" })).type);
  await attempt("socket", () => new Promise((resolve, reject) => { const socket = new WebSocket("${
    hubUrl.replace("http", "ws")
  }/ws/hub?protocolVersion=1"); socket.onopen = () => resolve("open"); socket.onerror = reject; }));
  await attempt("frame", () => new Promise((resolve) => { const frame = document.createElement("iframe");
    frame.onload = () => { try { resolve(frame.contentDocument.body.innerText === "" ? "empty" : "read"); } catch { resolve("refused"); } };
    frame.src = "${hubUrl}/"; document.body.append(frame); }));
  await attempt("storage", () => { localStorage.setItem("a", "1"); return localStorage.getItem("a"); });
  await attempt("parent", () => window.opener === null ? "none" : String(window.opener.document.title));
  document.title = JSON.stringify({ ...tried, script: window.loaded ?? "missing" });
})();
</script>`;

async function triedBy(page: Page): Promise<Record<string, unknown>> {
  await page.waitForFunction(() => document.title.startsWith("{"), undefined, { timeout: 20_000 });
  return JSON.parse(await page.title());
}

Deno.test("tunnel - in a browser", async (t) => {
  await using rig = await startRig();
  const { hub, runner } = rig;
  const browser = await launchBrowser();
  try {
    const context = await browser.newContext();
    const [name = "", value = ""] = hub.cookie.split(/=(.*)/s);
    await context.addCookies([{ name, value, url: hub.url }]);
    await using local = localServer((req) => {
      const { pathname } = new URL(req.url);
      if (pathname === "/app.js") {
        return new Response('window.loaded = "loaded"', { headers: { "content-type": "text/javascript" } });
      }
      if (pathname === "/api/sessions") return new Response("the application's own");
      return new Response(hostilePage(hub.url), { headers: { "content-type": "text/html" } });
    });

    await t.step(
      "the owner goes in from the hub; the page has its own origin and gets nothing of the hub",
      async () => {
        const sessionId = await runner.startSession({ agentId: "demo" });
        const { tunnel } = await hub.api("POST", "/api/tunnels", {
          runnerId: runner.runnerId,
          port: local.port,
          sessionId,
        });
        const page = await context.newPage();
        await page.goto(`${hub.url}/tunnel/${tunnel.tunnelId}`);
        await page.waitForURL(`http://${tunnel.tunnelId}.localhost:${hub.port}/`);
        assert.deepEqual(await triedBy(page), {
          cookie: "none",
          api: "refused",
          "own-api": "the application's own",
          post: "refused",
          blind: "refused",
          socket: "refused",
          frame: "refused",
          storage: "1",
          parent: "none",
          script: "loaded",
        });
        const { keys } = await hub.api("GET", "/api/keys");
        assert.ok(!JSON.stringify(keys).includes("stolen"));
        await page.close();

        const sandboxed = await context.newPage();
        await sandboxed.goto(`${hub.url}/api/tunnel/${sessionId}/${local.port}/`);
        const tried = await triedBy(sandboxed);
        assert.deepEqual([tried.cookie, tried.api, tried.post, tried.socket, tried.storage, tried.frame], [
          "refused",
          "refused",
          "refused",
          "refused",
          "refused",
          "refused",
        ]);
        assert.ok(!JSON.stringify((await hub.api("GET", "/api/keys")).keys).includes("stolen"));
        await sandboxed.close();
      },
    );

    await t.step("a preview in a frame of the session's page", async () => {
      const sessionId = await runner.startSession({ agentId: "demo" });
      await hub.api("POST", "/api/tunnels", { runnerId: runner.runnerId, port: local.port, sessionId });
      const page = await context.newPage();
      await page.goto(`${hub.url}/session/${sessionId}`);
      await page.getByRole("button", { name: "1 exposed port" }).click();
      await page.getByRole("button", { name: /^Preview/ }).click();
      const frame = page.frameLocator(".side-frame");
      await frame.locator("iframe").waitFor({ state: "attached", timeout: 20_000 });
      await page.close();
    });
  } finally {
    await browser.close();
  }
});
