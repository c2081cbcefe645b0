/**
 * Takes the pictures of the docs from a real demo session: `deno run -A tests/browser/screenshots.ts [home]`. The home
 * directory is made for it and removed afterwards; default: a temporary one.
 */
import { join } from "node:path";
import { setupLink, startPerch } from "@/tests/start/perch_process.ts";
import { launchBrowser, newDevice, type Page } from "./browser.ts";

const images = join(import.meta.dirname!, "../../docs/images");
const home = Deno.args[0] ?? await Deno.makeTempDir({ prefix: "perch-shots-" });
await Deno.mkdir(join(home, "src/pond"), { recursive: true });
await Deno.writeTextFile(join(home, "src/pond/README.md"), "# Pond\n");
const { child, url } = await startPerch(home, { env: { PERCH_DEMO_TOKEN_MS: "4" } });
const browser = await launchBrowser();
try {
  const device = await newDevice(browser, "desktop");
  const page = await device.newPage();
  await page.goto(await setupLink(child));
  await page.getByLabel("Name").fill("Ada");
  await page.getByLabel("Email").fill("ada@example.com");
  await page.getByLabel("Password", { exact: true }).fill("Perch1234");
  await page.getByRole("button", { name: "Create account" }).click();
  await page.getByRole("button", { name: "Start the demo" }).waitFor();
  await picture(page, "first-start");
  const { runners } = await (await device.request.get(`${url}/api/runners`)).json();
  const start = async (prompt: string) => {
    const answer = await device.request.post(`${url}/api/sessions`, {
      headers: { origin: url },
      data: { runnerId: runners[0].runnerId, cwd: join(home, "src/pond"), agent: { agentId: "demo" }, prompt },
    });
    return `${url}/session/${(await answer.json()).sessionId}`;
  };
  await start("plan the spring cleaning of the pond");
  await start("long");
  const address = await start("Add what we found to the notes of the pond");
  await page.goto(address);
  await page.getByRole("region", { name: "Permission needed" }).getByText("# Perch demo").waitFor();
  await page.locator(".agent-message").first().waitFor();
  await picture(page, "session");
  for (const size of ["desktop", "phone"] as const) {
    const dark = await newDevice(browser, size, "dark");
    await dark.addCookies(await device.cookies());
    const other = await dark.newPage();
    await other.goto(address);
    await other.getByRole("region", { name: "Permission needed" }).getByText("# Perch demo").waitFor();
    await picture(other, `session-${size}-dark`);
    await other.goto(url);
    await other.getByText("Needs you").waitFor();
    await picture(other, `dashboard-${size}-dark`);
  }
} finally {
  await browser.close();
  await child.stop("SIGINT");
  await Deno.remove(home, { recursive: true });
}

async function picture(page: Page, name: string): Promise<void> {
  await page.evaluate("document.fonts.ready");
  await page.screenshot({ path: join(images, `${name}.png`) });
}
