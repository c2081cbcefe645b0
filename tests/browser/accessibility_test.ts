/** WCAG 2 A and AA on every page and state, as far as axe can tell: light and dark, at both widths. */
import assert from "node:assert/strict";
import { startRunner } from "@/tests/support/runner.ts";
import { violations } from "./accessibility.ts";
import { newDevice, type Page } from "./browser.ts";
import { openSite, overflowPx } from "./site.ts";
import { emptyStates, type PageState, Sessions, strangerStates } from "./states.ts";

Deno.test("no page breaks a rule of WCAG 2 A or AA, nor is wider than the window", async (t) => {
  await using site = await openSite();
  await using runner = await startRunner(site.hub);
  const check = async (size: string, page: Page, { name, open, leave }: PageState) => {
    await t.step(`${size}: ${name}`, async () => {
      await open(page);
      assert.ok(await overflowPx(page) <= 0, "no sideways scrolling");
      for (const colorScheme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
        assert.deepEqual(await violations(page), [], colorScheme);
      }
      await leave?.();
    });
  };
  const sizes = ["desktop", "phone"] as const;
  for (const size of sizes) {
    const stranger = await newDevice(site.browser, size);
    const page = await site.page(stranger);
    for (const state of strangerStates(site)) await check(size, page, state);
    await stranger.close();
    const person = await site.device(size);
    for (const state of emptyStates(site)) await check(size, await site.page(person), state);
    await person.close();
  }
  await using sessions = await Sessions.start(site, runner);
  for (const size of sizes) {
    const device = await site.device(size);
    const page = await site.page(device);
    for (const state of sessions.states(site, device)) await check(size, page, state);
    await device.close();
  }
  // A refused sign-in, a session that is not there, a connection that was cut, and a previewed page, which is elsewhere.
  site.assertQuiet(
    /status of 401|status of 404|ERR_INTERNET_DISCONNECTED|ERR_ABORTED|request elsewhere: http:\/\/[a-z2-7]{26}\.localhost:/,
  );
});
