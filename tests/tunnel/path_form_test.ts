/** A hub whose tunnels have no origins of their own, in a real Chromium: reports and pages can be looked at, and can do nothing. */
import assert from "node:assert/strict";
import { launchBrowser } from "../browser/browser.ts";
import { freePort } from "../support/denokv.ts";
import { startHub } from "../support/hub.ts";
import { startRunner } from "../support/runner.ts";
import { localServer } from "./support.ts";

/** A page that tries to be the hub's user and writes what it got into its body. */
const page = `<!doctype html><h1>A report</h1><pre id="tried"></pre><script>
(async () => {
  const tried = {};
  const attempt = async (name, work) => { try { tried[name] = await work(); } catch { tried[name] = "refused"; } };
  await attempt("origin", () => self.origin);
  await attempt("cookie", () => document.cookie);
  await attempt("storage", () => localStorage.length);
  await attempt("read", async () => (await fetch("/api/sessions", { credentials: "include" })).text());
  await attempt("write", async () => (await fetch("/api/keys", { method: "POST", credentials: "include",
    headers: { "content-type": "text/plain" }, body: '{"name":"stolen"}' })).status);
  await attempt("blind", async () => (await fetch("/api/keys", { method: "POST", mode: "no-cors", credentials: "include",
    body: '{"name":"stolen"}' })).type);
  await attempt("socket", () => new Promise((resolve, reject) => {
    const socket = new WebSocket("ws://" + location.host + "/ws/hub?protocolVersion=1");
    socket.onopen = () => resolve("open"); socket.onerror = reject; }));
  await attempt("parent", () => parent === self ? "alone" : parent.document.title);
  const posted = (target) => {
    const form = document.createElement("form");
    form.method = "post"; form.enctype = "text/plain"; form.action = "/api/keys"; form.target = target;
    const input = document.createElement("input"); input.name = '{"name":"stolen","x":"'; input.value = '"}';
    form.append(input); document.body.append(form); form.submit();
  };
  await attempt("form", () => new Promise((resolve) => {
    const frame = document.createElement("iframe");
    frame.name = "target"; document.body.append(frame);
    frame.onload = () => { try { resolve("read " + frame.contentDocument.body.innerText); } catch { resolve("unreadable"); } };
    posted("target");
  }));
  document.querySelector("#tried").textContent = JSON.stringify(tried);
})();
</script>`;

Deno.test("tunnel - where tunnels have no origin of their own", async (t) => {
  const port = freePort();
  const hubUrl = `http://perch.test:${port}`;
  await using hub = await startHub({ port, env: { PERCH_PUBLIC_URL: hubUrl } });
  await using runner = await startRunner(hub);
  const received: string[] = [];
  await using local = localServer((req) => {
    for (const name of ["cookie", "authorization"]) if (req.headers.has(name)) received.push(req.headers.get(name)!);
    return new Response(page, { headers: { "content-type": "text/html", "x-frame-options": "DENY" } });
  });
  const browser = await launchBrowser(["--host-resolver-rules=MAP perch.test 127.0.0.1"]);
  try {
    const context = await browser.newContext();
    context.setDefaultTimeout(20_000);
    const [name = "", value = ""] = hub.cookie.split(/=(.*)/s);
    await context.addCookies([{ name, value, url: hubUrl }]);
    const sessionId = await runner.startSession({ agentId: "demo" });
    const owner = await context.newPage();
    const expected = {
      origin: "null",
      cookie: "refused",
      storage: "refused",
      read: "refused",
      write: "refused",
      blind: "refused",
      socket: "refused",
    };
    const isUnharmed = async () => {
      const { keys } = await hub.api("GET", "/api/keys");
      assert.ok(!JSON.stringify(keys).includes("stolen"));
      assert.deepEqual(received, []);
    };

    await t.step("a page beside the timeline", async () => {
      await owner.goto(`${hubUrl}/session/${sessionId}`);
      await owner.getByLabel("Session menu").click();
      await owner.getByRole("button", { name: "Ports" }).click();
      await owner.getByLabel("Port", { exact: true }).fill(`${local.port}`);
      await owner.getByRole("button", { name: "Expose", exact: true }).click();
      await owner.getByRole("button", { name: /^Preview/ }).click();
      const frame = owner.frameLocator(".side-frame");
      await frame.getByText("A report").waitFor();
      const tried = JSON.parse(await frame.locator("#tried").filter({ hasText: "{" }).innerText());
      assert.deepEqual(tried, { ...expected, parent: "refused", form: "unreadable" });
      await isUnharmed();
    });

    await t.step("the same page in a tab, where the hub's own page could do all that", async () => {
      await owner.goto(hubUrl);
      const control = await owner.evaluate(async () => {
        const init = { method: "POST", headers: { "content-type": "application/json" }, body: '{"name":"control"}' };
        return (await fetch("/api/keys", init)).status;
      });
      assert.equal(control, 201);
      await owner.goto(`${hubUrl}/api/tunnel/${sessionId}/${local.port}/`);
      const tried = JSON.parse(await owner.locator("#tried").filter({ hasText: "{" }).innerText());
      assert.deepEqual(tried, { ...expected, parent: "alone", form: "unreadable" });
      await isUnharmed();
    });

    await t.step("what cannot be is said: share links, and the ports of no session", async () => {
      await owner.goto(`${hubUrl}/runner/${runner.runnerId}`);
      await owner.getByRole("button", { name: "Share" }).click();
      await owner.getByText("so they cannot be shared").waitFor();
      await hub.api("POST", "/api/tunnels", { runnerId: runner.runnerId, port: 9, name: "Nowhere" });
      const nowhere = owner.locator(".tunnel").filter({ hasText: "Nowhere" });
      await nowhere.getByText("It has no address on this hub").waitFor();
      assert.equal(await nowhere.getByRole("link").count(), 0);
    });
  } finally {
    await browser.close();
  }
});
