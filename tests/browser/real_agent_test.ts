/** A real agent (Kimi Code from npm, with a scripted model) through the whole product, at both widths. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { ensureAgent } from "@/tests/agents/install.ts";
import { ModelServer } from "@/tests/agents/model_server.ts";
import { setupLink, startPerch } from "@/tests/start/perch_process.ts";
import { launchBrowser, newDevice, watchPage } from "./browser.ts";

Deno.test("a real agent asks in the browser, and the file is there once it is allowed", async () => {
  const command = await ensureAgent("kimi");
  const home = await Deno.makeTempDir({ prefix: "perch-real-" });
  const server = new ModelServer();
  await Deno.mkdir(join(home, ".kimi-code"));
  await Deno.mkdir(join(home, "project"));
  await Deno.writeTextFile(
    join(home, ".kimi-code", "config.toml"),
    `default_model = "perch/perch-1"
[providers.perch]
type = "openai"
base_url = "${server.url}"
api_key = "none"
[models."perch/perch-1"]
provider = "perch"
model = "perch-1"
display_name = "Perch One"
max_context_size = 200000
`,
  );
  const { child, url } = await startPerch(home, {
    env: { PERCH_AGENT_KIMI_COMMAND: JSON.stringify(command) },
  });
  await using _child = child;
  const browser = await launchBrowser();
  try {
    const desktop = await newDevice(browser, "desktop");
    const page = await desktop.newPage();
    const problems = watchPage(page, url);
    await page.goto(await setupLink(child));
    await page.getByLabel("Name").fill("Ada");
    await page.getByLabel("Email").fill("ada@example.com");
    await page.getByLabel("Password", { exact: true }).fill("Perch1234");
    await page.getByRole("button", { name: "Create account" }).click();
    await page.getByRole("button", { name: "Start the demo" }).waitFor();
    const { runners } = await (await desktop.request.get(`${url}/api/runners`)).json();
    const started = await desktop.request.post(`${url}/api/sessions`, {
      headers: { origin: url },
      data: {
        runnerId: runners[0].runnerId,
        cwd: join(home, "project"),
        agent: { agentId: "kimi" },
        prompt: "[[shell]] make the file",
      },
    });
    const { sessionId } = await started.json();
    await page.goto(`${url}/session/${sessionId}`);
    const card = page.getByRole("region", { name: "Permission needed" });
    await card.getByText("perch-was-here").first().waitFor();
    const file = join(home, "project", "hello.txt");
    await assert.rejects(Deno.stat(file), Deno.errors.NotFound);
    // Answered on the phone; the desktop sees it.
    const phone = await newDevice(browser, "phone", "dark");
    await phone.addCookies(await desktop.cookies());
    const other = await phone.newPage();
    const otherProblems = watchPage(other, url);
    await other.goto(`${url}/session/${sessionId}`);
    const pictures = Deno.env.get("PERCH_SCREENSHOTS");
    await other.getByRole("region", { name: "Permission needed" }).waitFor();
    if (pictures) await other.screenshot({ path: join(pictures, "real-agent-phone.png") });
    await other.getByRole("button", { name: "Approve once" }).click();
    await page.locator(".session-head").getByText("Idle").waitFor();
    await page.getByText("by Ada").first().waitFor();
    if (pictures) await page.screenshot({ path: join(pictures, "real-agent-desktop.png") });
    assert.equal((await Deno.readTextFile(file)).trim(), "perch-was-here");
    assert.deepEqual([...problems, ...otherProblems], []);
  } finally {
    await browser.close();
    await server.close();
  }
  assert.equal((await child.stop("SIGINT")).code, 0);
  await Deno.remove(home, { recursive: true });
});
