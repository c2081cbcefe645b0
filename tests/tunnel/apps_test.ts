/** Web applications as people make them, through tunnels, in a real Chromium: they work unchanged and notice nothing. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type BrowserContext, launchBrowser, type Page, watchPage } from "../browser/browser.ts";
import { Child } from "../support/child.ts";
import { freePort } from "../support/denokv.ts";
import { type HubProcess, startHub } from "../support/hub.ts";
import { within } from "../support/patience.ts";
import { TlsProxy } from "../support/tls_proxy.ts";
import { type RunnerProcess, startRunner } from "../support/runner.ts";
import { type AppName, ensureApp } from "./apps_install.ts";
import { TunnelClient } from "./support.ts";

/** Not `localhost`, so that nothing of what browsers allow this machine helps. The browser is told where it is. */
const DOMAIN = "tunnels.example";
/** The hub's own name, where it has one. */
const PUBLIC_NAME = "perch.example";

/** How each is started on a port; `ready` matches a line of its output. */
const servers: Record<
  AppName,
  { args(port: string): string[]; env(port: string): Record<string, string>; ready: RegExp }
> = {
  vite: {
    args: (port) => ["node_modules/vite/bin/vite.js", "--host", "127.0.0.1", "--strictPort", "--port", port],
    env: () => ({}),
    ready: /127\.0\.0\.1:\d+/,
  },
  sveltekit: {
    args: () => ["build/index.js"],
    // Its documentation asks for the origin wherever it is not https.
    env: (port) => ({ HOST: "127.0.0.1", PORT: port, ORIGIN: `http://localhost:${port}` }),
    ready: /Listening on/,
  },
  next: {
    args: (port) => ["node_modules/next/dist/bin/next", "start", "--hostname", "127.0.0.1", "--port", port],
    env: () => ({}),
    ready: /Ready in/,
  },
};

interface Served extends AsyncDisposable {
  port: number;
}

/** Starts an application from `folder`. */
async function serve(name: AppName, folder: string): Promise<Served> {
  const { args, env, ready } = servers[name];
  const port = freePort();
  const child = new Child({
    program: "node",
    args: args(`${port}`),
    cwd: folder,
    env: { NO_COLOR: "1", NEXT_TELEMETRY_DISABLED: "1", ...env(`${port}`) },
    logPath: join(folder, "server.log"),
  });
  try {
    await child.line(ready, `a ${name} that listens`);
  } catch (error) {
    await child[Symbol.asyncDispose]();
    throw error;
  }
  return { port, [Symbol.asyncDispose]: () => child[Symbol.asyncDispose]() };
}

interface Place {
  hub: HubProcess;
  runner: RunnerProcess;
  context: BrowserContext;
  /** Where the browser finds the hub, and a tunnel. */
  hubUrl: string;
  originOf(tunnelId: string): string;
}

/** Goes in as the owner does, from the hub. What the page may not do is noted. */
async function enter({ hub, runner, context, hubUrl, originOf }: Place, port: number) {
  const { tunnel } = await hub.api("POST", "/api/tunnels", { runnerId: runner.runnerId, port });
  const origin = originOf(tunnel.tunnelId);
  const page = await context.newPage();
  await page.goto(`${hubUrl}/tunnel/${tunnel.tunnelId}`);
  await page.waitForURL(`${origin}/`);
  const problems = watchPage(page, origin);
  page.on(
    "response",
    (response) => response.status() >= 400 && problems.push(`${response.status()} ${response.url()}`),
  );
  return { page, origin, problems, tunnelId: tunnel.tunnelId as string };
}

const heading = (page: Page, text: string) => page.getByRole("heading", { name: text, exact: true }).waitFor();
const mark = (page: Page) => page.evaluate("window.isSamePage = true");
const isSamePage = (page: Page) => page.evaluate("window.isSamePage === true");

/** What both frameworks' applications do, which is written to look alike. */
async function tryProductionApp(place: Place, name: "sveltekit" | "next", t: Deno.TestContext): Promise<void> {
  await using server = await serve(name, await ensureApp(name));
  const { page, origin, problems, tunnelId } = await enter(place, server.port);
  const { context, hub } = place;

  await t.step(`${name}: pages, scripts and pictures by absolute paths`, async () => {
    await heading(page, "Hello nobody");
    assert.equal(await page.locator("#cookies").innerText(), "", "the app sees no cookie of the hub");
    for (const alt of ["from the root", "from the bundle"]) {
      const picture = page.getByAltText(alt);
      await picture.evaluate((image: HTMLImageElement) => image.decode());
      assert.equal(await picture.evaluate((image: HTMLImageElement) => image.naturalWidth), 32, alt);
    }
  });

  await t.step(`${name}: its router navigates without loading a page; so do back and forward`, async () => {
    await page.waitForLoadState("networkidle");
    await mark(page);
    await page.getByRole("link", { name: "About" }).click();
    await heading(page, "About");
    assert.equal(page.url(), `${origin}/about`);
    await page.goBack();
    await heading(page, "Hello nobody");
    assert.equal(await isSamePage(page), true);
  });

  await t.step(`${name}: a form whose sender the app checks, and a cookie that it sets`, async () => {
    await page.getByLabel("Name").fill("Ada");
    await page.getByRole("button", { name: "Save" }).click();
    await heading(page, "Hello Ada");
    assert.equal(await isSamePage(page), true);
    await page.reload();
    await heading(page, "Hello Ada");
    assert.equal(await page.locator("#cookies").innerText(), "name");
    const cookies = await context.cookies(origin);
    assert.deepEqual(cookies.filter(({ name }) => name === "name").map(({ domain }) => domain), [
      new URL(origin).hostname,
    ]);
  });

  await t.step(`${name}: the same form without script; what another site posts is refused by the app`, async () => {
    const plain = await context.browser()!.newContext({
      javaScriptEnabled: false,
      storageState: await context.storageState(),
    });
    const form = await plain.newPage();
    await form.goto(`${origin}/`);
    await form.getByLabel("Name").fill("Grace");
    await form.getByRole("button", { name: "Save" }).click();
    await heading(form, "Hello Grace");
    const fields = await form.locator("form input").evaluateAll((inputs: HTMLInputElement[]) =>
      inputs.map(({ name, value }): [string, string] => [name, value])
    );
    await plain.close();
    const client = new TunnelClient(hub, tunnelId);
    await client.enter();
    const post = async (from: string) => {
      const body = new FormData();
      for (const [field, value] of fields) body.append(field, field === "name" ? "Mallory" : value);
      const request = new Request("http://x", { method: "POST", body });
      const headers = { "content-type": request.headers.get("content-type")!, origin: from };
      return (await client.ask("POST", "/", { headers, body: await request.bytes() })).status;
    };
    assert.ok(await post(client.origin) < 400, "the app's own page");
    assert.ok(await post("http://evil.example") >= 400, "another site");
  });

  await t.step(`${name}: a redirect stays on the tunnel`, async () => {
    await page.goto(`${origin}/old`);
    await heading(page, "About");
    assert.equal(page.url(), `${origin}/about`);
  });

  await t.step(`${name}: a page that is streamed shows what has come`, async () => {
    await page.goto(`${origin}/slow`, { waitUntil: "commit" });
    await page.getByText("waiting").waitFor();
    await page.evaluate(() => fetch("/release", { method: "POST" }));
    await page.getByText("the rest").waitFor();
  });

  await t.step(`${name}: server-sent events, each on its own`, async () => {
    await page.goto(`${origin}/live`);
    await page.getByText("event 5").waitFor();
    assert.deepEqual(await page.locator("li").allInnerTexts(), [1, 2, 3, 4, 5].map((number) => `event ${number}`));
  });

  // Browsers have none where there is neither TLS nor localhost.
  if (name === "sveltekit" && await page.evaluate("isSecureContext")) {
    await t.step(`${name}: its service worker`, async () => {
      const text = await page.evaluate(async () => {
        const { serviceWorker } = navigator;
        if (serviceWorker.controller === null) {
          await new Promise((resolve) => serviceWorker.addEventListener("controllerchange", resolve, { once: true }));
        }
        return await (await fetch("/from-worker")).text();
      });
      assert.equal(text, "the worker's own");
    });
  }

  assert.deepEqual(problems, []);
  await page.close();
}

/** A development server: edits of modules and styles reach the page, over a WebSocket of the tunnel, without loading it again. */
async function tryVite(place: Place): Promise<void> {
  const folder = await ensureApp("vite");
  // Its files are changed here: a folder of its own, below the one that vite is in.
  const app = await Deno.makeTempDir({ dir: folder, prefix: "edited-" });
  try {
    for (const file of ["index.html", "main.js", "text.js", "style.css"]) {
      await Deno.copyFile(join(folder, file), join(app, file));
    }
    await Deno.symlink(join(folder, "node_modules"), join(app, "node_modules"));
    await using server = await serve("vite", app);
    const { hub, runner, context, hubUrl, originOf } = place;
    const { tunnel } = await hub.api("POST", "/api/tunnels", { runnerId: runner.runnerId, port: server.port });
    const { host, protocol } = new URL(originOf(tunnel.tunnelId));
    const page = await context.newPage();
    const problems = watchPage(page, "http");
    const sockets: string[] = [];
    page.on("websocket", (socket) => sockets.push(socket.url()));
    const connected = page.waitForEvent("console", { predicate: (line) => line.text().includes("[vite] connected.") });
    connected.catch(() => {});
    await page.goto(`${hubUrl}/tunnel/${tunnel.tunnelId}`);
    await heading(page, "first");
    await connected;
    const socketOrigins = sockets.map((url) => new URL("/", url).href);
    const socketOrigin = `${protocol.replace("http", "ws")}//${host}/`;
    assert.deepEqual(socketOrigins, [socketOrigin], "to the tunnel, with no second attempt past it");
    await page.getByLabel("Draft").fill("not saved yet");
    await mark(page);
    // One edit of each file: Vite itself overlooks a second one that follows within some milliseconds.
    await Deno.writeTextFile(join(app, "text.js"), 'export const text = "second";\n');
    await heading(page, "second");
    await Deno.writeTextFile(join(app, "style.css"), "h1 { color: rgb(4, 5, 6); }\n");
    const isRestyled = () => getComputedStyle(document.querySelector("h1")!).color === "rgb(4, 5, 6)";
    await page.waitForFunction(isRestyled);
    assert.equal(await page.getByLabel("Draft").inputValue(), "not saved yet");
    assert.deepEqual([await isSamePage(page), await page.evaluate("window.loads")], [true, 1]);
    // What no module takes: the server has the page loaded again.
    const reloaded = page.waitForEvent("load");
    await Deno.writeTextFile(
      join(app, "index.html"),
      (await Deno.readTextFile(join(app, "index.html"))) + "<p>more</p>\n",
    );
    await within(reloaded, "the page's loading again");
    await page.getByText("more").waitFor();
    assert.equal(await isSamePage(page), false);
    assert.deepEqual(problems, []);
    await page.close();
  } finally {
    await Deno.remove(app, { recursive: true });
  }
}

async function tryAll(
  t: Deno.TestContext,
  hub: HubProcess,
  hubUrl: string,
  originOf: (tunnelId: string) => string,
): Promise<void> {
  // Together: installing waits for the network, building for the processor.
  await Promise.all((["vite", "sveltekit", "next"] as const).map(ensureApp));
  await using runner = await startRunner(hub);
  const browser = await launchBrowser([
    "--ignore-certificate-errors",
    `--host-resolver-rules=MAP *.${DOMAIN} 127.0.0.1, MAP ${PUBLIC_NAME} 127.0.0.1`,
  ]);
  try {
    const context = await browser.newContext();
    context.setDefaultTimeout(30_000);
    const [name = "", value = ""] = hub.cookie.split(/=(.*)/s);
    await context.addCookies([{ name, value, url: hubUrl }]);
    const place: Place = { hub, runner, context, hubUrl, originOf };
    await t.step("a Vite development server", () => tryVite(place));
    await tryProductionApp(place, "sveltekit", t);
    await tryProductionApp(place, "next", t);
  } finally {
    await browser.close();
  }
}

Deno.test("tunnel - web applications at <label>.localhost", async (t) => {
  await using hub = await startHub();
  await tryAll(t, hub, hub.url, (tunnelId) => `http://${tunnelId}.localhost:${hub.port}`);
});

Deno.test("tunnel - web applications below a domain, without TLS", async (t) => {
  await using hub = await startHub({ env: { PERCH_TUNNEL_DOMAIN: DOMAIN } });
  await tryAll(t, hub, hub.url, (tunnelId) => `http://${tunnelId}.${DOMAIN}:${hub.port}`);
});

Deno.test("tunnel - web applications below a domain, behind a proxy that ends TLS", async (t) => {
  const port = freePort();
  await using proxy = new TlsProxy(port);
  const hubUrl = `https://${PUBLIC_NAME}:${proxy.port}`;
  await using hub = await startHub({ port, env: { PERCH_TUNNEL_DOMAIN: DOMAIN, PERCH_PUBLIC_URL: hubUrl } });
  await tryAll(t, hub, hubUrl, (tunnelId) => `https://${tunnelId}.${DOMAIN}:${proxy.port}`);
});
