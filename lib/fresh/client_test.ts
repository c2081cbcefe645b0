import sparticuz from "@sparticuz/chromium";
import assert from "node:assert/strict";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { Builder } from "./dev.ts";
import { App, csp, staticFiles } from "./mod.ts";

const SYSTEM_BROWSERS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const WAIT_MS = 10_000;

async function launch(): Promise<Browser> {
  for (const executablePath of SYSTEM_BROWSERS) {
    try {
      await Deno.stat(executablePath);
      return await chromium.launch({ executablePath, args: ["--no-sandbox"] });
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return await chromium.launch({ executablePath: await sparticuz.executablePath(), args: sparticuz.args });
}

/** Opens `path` of the fixture app in a browser. Fails when the page logs an error, such as a violation of the CSP. */
async function inBrowser(path: string, run: (page: Page) => Promise<void>): Promise<void> {
  const applySnapshot = await new Builder({ root: join(import.meta.dirname!, "testdata/app") })
    .build({ snapshot: "memory" });
  const app = new App<{ greeting: string }>()
    .use(csp({ useNonce: true }))
    .use(staticFiles()).get("/favicon.ico", () => new Response(null, { status: 204 })).fsRoutes();
  applySnapshot(app);
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, app.handler());
  const browser = await launch();
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(WAIT_MS);
    const problems: string[] = [];
    page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
    page.on("pageerror", (error) => problems.push(error.message));
    await page.goto(`http://127.0.0.1:${server.addr.port}${path}`, { waitUntil: "networkidle" });
    await run(page);
    assert.deepEqual(problems, []);
  } finally {
    await browser.close();
    await server.shutdown();
  }
}

const counts = (page: Page) => page.locator("output").allTextContents();

Deno.test("client - islands hydrate in place and share their signals", async () => {
  await inBrowser("/counter", async (page) => {
    assert.equal(await page.title(), "Counter");
    assert.deepEqual(await counts(page), ["3", "3"]);
    await page.locator("button").first().click();
    assert.deepEqual(await counts(page), ["4", "4"]);
    await page.locator("button").last().click();
    assert.deepEqual(await counts(page), ["5", "5"]);
  });
});

Deno.test("client - slots stay as rendered, hidden ones appear later, islands in them live, chunks load late", async () => {
  await inBrowser("/panel", async (page) => {
    assert.equal(await page.locator("section").getAttribute("data-kinds"), "true true bigint undefined");
    assert.equal(await page.locator(".text").innerHTML(), "server <b>text</b>");
    assert.equal(await page.locator("input").isChecked(), true);
    await page.locator(".children button").click();
    assert.deepEqual(await counts(page), ["2", "10", "2"]);

    await page.locator(".open").click();
    assert.equal(await page.locator(".aside em").textContent(), "server aside");
    await page.locator(".aside button").click();
    assert.deepEqual(await counts(page), ["3", "3", "10", "3"]);
    await page.locator(".open").click();
    await page.locator(".aside").waitFor({ state: "detached" });
    await page.locator(".open").click();
    assert.deepEqual(await counts(page), ["3", "3", "10", "3"]);

    await page.locator(".inner button").click();
    assert.deepEqual(await counts(page), ["3", "3", "11", "3"]);
    await page.locator(".load").click();
    await page.getByText("loaded late").waitFor();
  });
});
