/**
 * Tunnels as they are deployed, in a real Chromium: the hub at https://perch.example, each tunnel at its own origin below
 * https://tunnels.example, TLS ended by a proxy. What a hostile page behind a tunnel gets of the hub: nothing.
 */
import assert from "node:assert/strict";
import { type Browser, type BrowserContext, launchBrowser, type Page } from "../browser/browser.ts";
import { freePort } from "../support/denokv.ts";
import { type HubProcess, startHub } from "../support/hub.ts";
import { eventually } from "../support/patience.ts";
import { type RunnerProcess, startRunner } from "../support/runner.ts";
import { TlsProxy } from "../support/tls_proxy.ts";
import { localServer } from "./support.ts";

interface Deployment extends AsyncDisposable {
  hub: HubProcess;
  runner: RunnerProcess;
  browser: Browser;
  hubUrl: string;
  /** A browser profile, signed in to the hub or not. */
  device(isSignedIn: boolean): Promise<BrowserContext>;
  originOf(tunnelId: string): string;
}

async function deploy(): Promise<Deployment> {
  await using made = new AsyncDisposableStack();
  const port = freePort();
  const proxy = made.use(new TlsProxy(port));
  const hubUrl = `https://perch.example:${proxy.port}`;
  const hub = made.use(
    await startHub({
      port,
      env: { PERCH_PUBLIC_URL: hubUrl, PERCH_TUNNEL_DOMAIN: "tunnels.example", PERCH_TRUST_PROXY: "1" },
    }),
  );
  const runner = made.use(await startRunner(hub));
  const browser = made.adopt(
    await launchBrowser(["--ignore-certificate-errors", "--host-resolver-rules=MAP *.example 127.0.0.1"]),
    (browser) => browser.close(),
  );
  const all = made.move();
  return {
    hub,
    runner,
    browser,
    hubUrl,
    async device(isSignedIn) {
      const context = await browser.newContext();
      context.setDefaultTimeout(20_000);
      const [name = "", value = ""] = hub.cookie.split(/=(.*)/s);
      if (isSignedIn) await context.addCookies([{ name, value, url: hubUrl }]);
      return context;
    },
    originOf: (tunnelId) => `https://${tunnelId}.tunnels.example:${proxy.port}`,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** What a local server was sent. */
interface Seen {
  path: string;
  headers: Headers;
}

function seenOf(req: Request): Seen {
  const { pathname, search } = new URL(req.url);
  return { path: pathname + search, headers: new Headers(req.headers) };
}

/** An application that needs an origin of its own: absolute paths, cookies, storage, a service worker, a WebSocket, a form. */
function application(seen: Seen[]): (req: Request) => Promise<Response> {
  const page = `<!doctype html><title>app</title><script type="module" src="/src/app.js"></script><h1>The app</h1>`;
  const script = `
    const registration = await navigator.serviceWorker.register("/worker.js");
    await navigator.serviceWorker.ready;
    if (!navigator.serviceWorker.controller) {
      await new Promise((resolve) => navigator.serviceWorker.addEventListener("controllerchange", resolve));
    }
    localStorage.setItem("kept", "yes");
    document.cookie = "from-script=1";
    const socket = new WebSocket("wss://" + location.host + "/socket");
    const echo = await new Promise((resolve, reject) => {
      socket.onopen = () => socket.send("over wss");
      socket.onmessage = ({ data }) => resolve(data);
      socket.onerror = reject;
    });
    const posted = await (await fetch("/post", { method: "POST", body: "a body" })).text();
    const worker = await (await fetch("/from-the-worker")).text();
    history.pushState(null, "", "/deep/link");
    document.title = JSON.stringify({ scope: registration.scope, echo, posted, worker, kept: localStorage.getItem("kept"),
      cookie: document.cookie, isSecure: isSecureContext });`;
  const worker = `
    self.addEventListener("install", () => self.skipWaiting());
    self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
    self.addEventListener("fetch", (event) => {
      if (new URL(event.request.url).pathname === "/from-the-worker") event.respondWith(new Response("the worker's"));
    });`;
  const javascript = { "content-type": "text/javascript" };
  return async (req) => {
    seen.push(seenOf(req));
    const { pathname } = new URL(req.url);
    if (pathname === "/src/app.js") return new Response(script, { headers: javascript });
    if (pathname === "/worker.js") return new Response(worker, { headers: javascript });
    if (pathname === "/post") return new Response(`${await req.text()} from ${req.headers.get("origin")}`);
    if (pathname === "/socket") {
      const { socket, response } = Deno.upgradeWebSocket(req);
      socket.onmessage = ({ data }) => socket.send(data);
      return response;
    }
    return new Response(page, {
      headers: {
        "content-type": "text/html",
        "set-cookie": "from-app=1; HttpOnly; Domain=localhost",
        // As frameworks have it unless they are told otherwise. The preview shows it nevertheless.
        "x-frame-options": "DENY",
        "content-security-policy": "frame-ancestors 'none'; object-src 'none'",
      },
    });
  };
}

/** A page that tries everything against the hub, with forms, too, and writes what it got into its title. */
const hostilePage = (hubUrl: string, sibling: string) =>
  `<!doctype html><title>…</title><body><script>
const tried = {};
const attempt = async (name, work) => { try { tried[name] = await work(); } catch (error) { tried[name] = "refused"; } };
const framed = (work) => new Promise((resolve) => {
  const frame = document.createElement("iframe");
  frame.name = "f" + Math.random();
  document.body.append(frame);
  // Not before: an empty frame has loaded as soon as it is there.
  frame.onload = () => { try { resolve(frame.contentDocument === null ? "unreadable" : "read " + frame.contentDocument.body.innerText); } catch { resolve("unreadable"); } };
  work(frame);
});
(async () => {
  await attempt("cookie", () => document.cookie);
  await attempt("toss", () => { document.cookie = "tossed=1; Domain=tunnels.example; Secure"; document.cookie = "tossed=1; Domain=example; Secure";
    document.cookie = "tossed=1; Domain=perch.example; Secure"; return "set"; });
  await attempt("read", async () => (await fetch("${hubUrl}/api/sessions", { credentials: "include" })).text());
  await attempt("write", async () => (await fetch("${hubUrl}/api/keys", { method: "POST", credentials: "include",
    headers: { "content-type": "application/json" }, body: "{\\"name\\":\\"stolen\\"}" })).status);
  await attempt("blind", () => fetch("${hubUrl}/api/keys", { method: "POST", mode: "no-cors", credentials: "include",
    headers: { "content-type": "text/plain" }, body: "{\\"name\\":\\"stolen\\"}" }).then(() => "sent"));
  await attempt("socket", () => new Promise((resolve, reject) => { const socket = new WebSocket("${
    hubUrl.replace("http", "ws")
  }/ws/hub?protocolVersion=1"); socket.onopen = () => resolve("open"); socket.onerror = reject; }));
  await attempt("frame", () => framed((frame) => frame.src = "${hubUrl}/"));
  await attempt("form", () => framed((frame) => {
    const form = document.createElement("form");
    form.method = "post"; form.enctype = "text/plain"; form.action = "${hubUrl}/api/keys"; form.target = frame.name;
    const input = document.createElement("input"); input.name = '{"name":"stolen","x":"'; input.value = '"}';
    form.append(input); document.body.append(form); form.submit();
  }));
  await attempt("sibling", async () => (await fetch("${sibling}/", { credentials: "include" })).text());
  await attempt("sibling-post", async () => (await fetch("${sibling}/post", { method: "POST", mode: "no-cors",
    credentials: "include", referrerPolicy: "no-referrer", body: "an order" })).type);
  await attempt("sibling-form", () => framed((frame) => {
    const form = document.createElement("form");
    form.method = "post"; form.action = "${sibling}/form"; form.target = frame.name;
    document.body.append(form); form.submit();
  }));
  await attempt("sibling-frame", () => framed((frame) => frame.src = "${sibling}/secret"));
  await attempt("script", () => new Promise((resolve, reject) => { const script = document.createElement("script");
    script.src = "${hubUrl}/api/sessions"; script.onload = () => resolve("ran"); script.onerror = reject; document.body.append(script); }));
  await attempt("opener", () => String(window.opener?.location.href ?? "none"));
  await attempt("top", () => window.top === window ? "alone" : String(window.top.location.href));
  document.title = JSON.stringify(tried);
})();
</script>`;

async function titleOf(page: Page): Promise<Record<string, unknown>> {
  await page.waitForFunction(() => document.title.startsWith("{"), undefined, { timeout: 20_000 });
  return JSON.parse(await page.title());
}

Deno.test("tunnel - a domain of its own, behind TLS", async (t) => {
  await using deployment = await deploy();
  const { hub, runner, hubUrl, originOf } = deployment;
  const owner = await deployment.device(true);
  const expose = async (port: number, more: object = {}): Promise<string> =>
    (await hub.api("POST", "/api/tunnels", { runnerId: runner.runnerId, port, ...more })).tunnel.tunnelId;
  const seen: Seen[] = [];
  await using local = localServer(application(seen));
  const tunnelId = await expose(local.port, { name: "App" });
  const origin = originOf(tunnelId);

  await t.step("an application finds an origin of its own, and nothing of the hub in it", async () => {
    const page = await owner.newPage();
    await page.goto(`${hubUrl}/runner/${runner.runnerId}`);
    const opened = owner.waitForEvent("page");
    await page.getByRole("link", { name: "Open App in a new tab" }).click();
    const tab = await opened;
    assert.deepEqual(await titleOf(tab), {
      scope: `${origin}/`,
      echo: "over wss",
      posted: `a body from http://localhost:${local.port}`,
      worker: "the worker's",
      kept: "yes",
      cookie: "from-script=1",
      isSecure: true,
    });
    assert.equal(tab.url(), `${origin}/deep/link`);
    const cookies = (await owner.cookies(origin)).map(({ name, domain, httpOnly, secure, sameSite }) =>
      [name, domain, httpOnly, secure, sameSite].join()
    );
    const host = new URL(origin).hostname;
    assert.deepEqual(cookies.sort(), [
      `__Host-perch_tunnel,${host},true,true,Lax`,
      `from-app,${host},true,false,Lax`,
      `from-script,${host},false,false,Lax`,
    ]);
    // What the application was sent: its own cookies, and neither the hub's nor the one that admits.
    const sent = seen.flatMap(({ headers }) => (headers.get("cookie") ?? "").split("; ")).filter((cookie) =>
      cookie !== ""
    );
    assert.deepEqual([...new Set(sent)].sort(), ["from-app=1", "from-script=1"]);
    for (const { headers } of seen) assert.equal(headers.has("authorization"), false);
    // The link that was followed led through a reload of the tab without a new ticket.
    await tab.reload();
    await titleOf(tab);
    await tab.close();
    await page.close();
  });

  await t.step("a ticket lets one browser in, once", async () => {
    const { url } = await hub.api("POST", `/api/tunnels/${tunnelId}/ticket`, {});
    assert.ok(url.startsWith(`${origin}/__perch/enter#ticket=`));
    const first = await deployment.device(false);
    const page = await first.newPage();
    await page.goto(url);
    await page.getByText("The app").waitFor();
    // Neither the address bar nor the history keeps it.
    assert.ok(!page.url().includes("ticket"));
    const second = await deployment.device(false);
    const late = await second.newPage();
    await late.goto(url);
    await late.getByText("used already or is too old").waitFor();
    assert.deepEqual(await second.cookies(), []);
    await first.close();
    await second.close();
  });

  await t.step("who is not admitted is shown the way in, and led to where they wanted to go", async () => {
    const page = await owner.newPage();
    await owner.clearCookies({ name: "__Host-perch_tunnel" });
    await page.goto(`${origin}/wanted?x=1#there`);
    await page.getByText("Open this from Perch").waitFor();
    await page.getByRole("link", { name: "Go in as its owner" }).click();
    await titleOf(page);
    assert.ok(seen.some(({ path }) => path === "/wanted?x=1"));
    for (const next of ["/\\evil.example/", "https://evil.example/", "//evil.example/", "javascript:alert(1)"]) {
      await page.goto(`${hubUrl}/tunnel/${tunnelId}?${new URLSearchParams({ next })}`);
      await titleOf(page);
      assert.equal(new URL(page.url()).origin, origin, next);
    }
    const stranger = await deployment.device(false);
    const other = await stranger.newPage();
    await other.goto(`${origin}/wanted`);
    await other.getByRole("link", { name: "Go in as its owner" }).click();
    await other.waitForURL(`${hubUrl}/login?**`);
    await stranger.close();
    await page.close();
  });

  await t.step("a hostile page gets nothing of the hub, nor of another tunnel", async () => {
    const received: Seen[] = [];
    await using secret = localServer((req) => {
      received.push(seenOf(req));
      return new Response("<p>another tunnel's secret</p>", { headers: { "content-type": "text/html" } });
    });
    const sibling = originOf(await expose(secret.port));
    const requests: Seen[] = [];
    await using hostile = localServer((req) => {
      requests.push(seenOf(req));
      return new Response(hostilePage(hubUrl, sibling), { headers: { "content-type": "text/html" } });
    });
    // What the page is after works for the hub's own page: the browser is signed in, and the requests are right.
    const own = await owner.newPage();
    await own.goto(hubUrl);
    const status = await own.evaluate(async () => {
      const headers = { "content-type": "application/json" };
      return (await fetch("/api/keys", { method: "POST", headers, body: '{"name":"control"}' })).status;
    });
    assert.equal(status, 201);
    // The owner is admitted to the other tunnel, too.
    await own.goto(`${hubUrl}/tunnel/${new URL(sibling).hostname.split(".")[0]}`);
    await own.getByText("another tunnel's secret").waitFor();
    received.length = 0;

    const page = await owner.newPage();
    await page.goto(`${hubUrl}/tunnel/${await expose(hostile.port)}`);
    const tried = await titleOf(page);
    assert.deepEqual(tried, {
      cookie: "",
      toss: "set",
      read: "refused",
      write: "refused",
      blind: "refused",
      socket: "refused",
      frame: "unreadable",
      form: "unreadable",
      sibling: "refused",
      "sibling-post": "opaque",
      "sibling-form": "unreadable",
      "sibling-frame": "unreadable",
      script: "refused",
      opener: "none",
      top: "alone",
    });
    // Nor can it show the other tunnel's pages to the owner, to have them press what they do not see.
    const framed = page.frames().map((frame) => frame.url());
    assert.ok(framed.includes("chrome-error://chromewebdata/") && !framed.includes(`${sibling}/secret`), framed.join());
    const { keys } = await hub.api("GET", "/api/keys");
    const names = keys.map(({ name }: { name: string }) => name);
    assert.ok(names.includes("control") && !names.includes("stolen"), names.join());
    for (const { headers } of requests) {
      assert.ok(!/perch|session/.test(headers.get("cookie") ?? ""), headers.get("cookie")!);
    }
    // They are one site to the browser, which admits requests from one to the other: what changes something is refused by the hub.
    assert.deepEqual(received.map(({ path }) => path).filter((path) => path !== "/favicon.ico"), ["/", "/secret"]);
    // A cookie for the common parent reaches other tunnels' applications (docs/tunnels.md says so), never the hub.
    assert.deepEqual((await owner.cookies(hubUrl)).filter(({ name }) => name === "tossed"), []);
    await own.goto(hubUrl);
    await own.getByText("Live").first().waitFor();
    await page.close();
    await own.close();
  });

  await t.step("beside a timeline, where its cookie belongs to that pair of sites alone", async () => {
    const sessionId = await runner.startSession({ agentId: "demo" });
    const inFrame = await expose(local.port, { sessionId });
    const page = await owner.newPage();
    await owner.clearCookies({ domain: new URL(originOf(inFrame)).hostname });
    await page.goto(`${hubUrl}/session/${sessionId}`);
    await page.getByRole("button", { name: "1 exposed port" }).click();
    await page.getByRole("button", { name: /^Preview/ }).click();
    await page.frameLocator(".side-frame").getByText("The app").waitFor();
    const cookie = await eventually(async () => {
      const all = await owner.cookies(originOf(inFrame));
      return all.find(({ name }) => name === "__Host-perch_tunnel");
    }, "the cookie of the frame");
    assert.deepEqual([cookie.sameSite, cookie.secure, cookie.httpOnly], ["None", true, true]);
    assert.equal(new URL(cookie.partitionKey ?? "").hostname, "perch.example");
    await page.close();
  });

  await t.step("signing out shuts the tab's tunnel, too", async () => {
    const page = await owner.newPage();
    await page.goto(`${hubUrl}/tunnel/${tunnelId}`);
    await page.getByText("The app").waitFor();
    const control = await owner.newPage();
    await control.goto(`${hubUrl}/settings`);
    await control.getByText("control", { exact: true }).first().waitFor();
    await control.getByRole("button", { name: "Sign out" }).click();
    await control.waitForURL(`${hubUrl}/login`);
    await eventually(async () => (await page.goto(`${origin}/`))?.status() === 401, "the end of the admission");
    await page.close();
  });
});
