/** What a person changes in the settings: API keys and invites, made, used and revoked. */
import assert from "node:assert/strict";
import { newDevice, watchPage } from "./browser.ts";
import { openSite } from "./site.ts";

Deno.test("settings: a key and an invite are made, work, and end when they are revoked", async (t) => {
  await using site = await openSite();
  const page = await site.page(await site.device("desktop"));
  await page.goto(`${site.hub.url}/settings`);
  const section = (name: string) => page.locator("section.panel").filter({ has: page.getByRole("heading", { name }) });
  const useKey = (key: string) =>
    site.hub.fetch("/api/sessions", { headers: { authorization: `Bearer ${key}` } }).then(async (answer) => {
      await answer.body?.cancel();
      return answer.status;
    });

  await t.step("an API key is shown once", async () => {
    const keys = section("API keys");
    await keys.getByLabel("Name of a new key").fill("build server");
    await keys.getByRole("button", { name: "Create key" }).click();
    const key = (await keys.getByRole("status").locator("code").textContent())!.trim();
    assert.equal(await useKey(key), 200);
    const row = keys.getByRole("listitem").filter({ hasText: "build server" });
    await row.getByText("never used").or(row.getByText("used just now")).waitFor();
    await page.reload();
    await row.waitFor();
    assert.equal(await keys.getByRole("status").count(), 0);
    await keys.getByRole("button", { name: "Revoke build server" }).click();
    await row.waitFor({ state: "detached" });
    assert.equal(await useKey(key), 401);
  });

  await t.step("an invite makes one account, which sees nothing of its inviter's", async () => {
    const invites = section("Invites");
    const make = async () => {
      const before = await invites.getByRole("listitem").count();
      await invites.getByRole("button", { name: "Create invite" }).click();
      await invites.getByRole("listitem").nth(before).waitFor();
      return (await invites.getByRole("status").locator("code").textContent())!.trim();
    };
    const session = await site.session("Of Ann's own");
    const url = await make();
    const guestDevice = await newDevice(site.browser, "phone");
    const guest = await guestDevice.newPage();
    const problems = watchPage(guest, site.hub.url);
    await guest.goto(url);
    await guest.getByLabel("Name").fill("Ben");
    await guest.getByLabel("Email").fill("ben@perch.test");
    await guest.getByLabel("Password", { exact: true }).fill("Correct-horse-7");
    await guest.getByRole("button", { name: "Create account" }).click();
    await guest.getByText("No runner is connected").or(guest.getByText("Connect")).first().waitFor();
    assert.equal(await guest.getByText("Of Ann's own").count(), 0);
    await guest.goto(site.urlOf(session));
    await guest.getByText("There is no such session, or it is not yours.").waitFor();
    assert.deepEqual(problems, []);
    await page.reload();
    await invites.getByRole("button", { name: "Create invite" }).waitFor();
    assert.equal(await invites.getByRole("listitem").count(), 0, "it is used up");

    const revoked = await make();
    await invites.getByRole("button", { name: "Revoke" }).click();
    await invites.getByRole("listitem").waitFor({ state: "detached" });
    const late = await (await newDevice(site.browser, "phone")).newPage();
    await late.goto(revoked);
    await late.getByLabel("Name").fill("Cleo");
    await late.getByLabel("Email").fill("cleo@perch.test");
    await late.getByLabel("Password", { exact: true }).fill("Correct-horse-7");
    await late.getByRole("button", { name: "Create account" }).click();
    await late.getByRole("alert").waitFor();
    await session[Symbol.asyncDispose]();
  });
  site.assertQuiet();
});
