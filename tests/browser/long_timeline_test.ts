/** A session of 5,000 entries: what is on the page stays small, and nothing moves what a person reads. */
import assert from "node:assert/strict";
import type { ScriptedProducer } from "@/tests/support/producer.ts";
import type { BrowserContext, Page, Size } from "./browser.ts";
import { entryOf, longTimeline } from "./entries.ts";
import { type Frame, movementPx, recordFrames, standStill } from "./frames.ts";
import { openSite } from "./site.ts";

const ENTRIES = 5_000;
/** More rows than this on the page would make it slow. */
const ROWS_MAX = 150;
/** How far the window is moved at once. */
const STEP_PX = 500;
/** What a person may not notice. */
const STILL_PX = 2;

Deno.test("5,000 entries: a small page, older pages without a jump, streaming that moves nobody", async (t) => {
  await using site = await openSite();
  await using host = await site.session("Long");
  for (const entry of longTimeline(ENTRIES)) host.write(entry);
  await host.settled();
  let index = ENTRIES;
  for (const size of ["desktop", "phone"] as const) {
    const device = await site.device(size);
    const page = await site.page(device);
    const pages = countOlderPages(page);
    await page.goto(site.urlOf(host));
    await page.locator(`[data-index="${index - 1}"]`).waitFor();

    await t.step(`${size}: scrolling up loads older pages, and what is read moves only as it is scrolled`, async () => {
      const frames = await recordFrames(page, async () => {
        while (pages.count < (size === "phone" ? 1 : 2)) await scrollUp(size, device, page);
      });
      assertNeverBack(frames);
      assertSmall(frames);
    });

    await t.step(`${size}: a page that arrives moves nothing`, async () => {
      const count = pages.count;
      const frames = await recordFrames(page, async () => {
        for (let step = 0; pages.count === count; step++) {
          assert.ok(step < 100, "no older page came");
          await page.locator(".timeline").evaluate((box, px) => box.scrollTop -= px, STEP_PX);
          await standStill(page);
        }
      });
      const moves = frames.slice(1).map((frame, at) => Math.round(movementPx(frames[at]!, frame) ?? NaN));
      const other = moves.filter((move) => !(Math.abs(move) <= STILL_PX || Math.abs(move - STEP_PX) <= STILL_PX));
      assert.deepEqual(other, [], "every move is a step");
    });

    await t.step(`${size}: streaming at the end does not move who reads above`, async () => {
      const message = open(host, index++);
      const frames = await recordFrames(page, () => stream(host, message, page));
      for (const [at, frame] of frames.slice(1).entries()) {
        const moved = movementPx(frames[at]!, frame);
        assert.ok(moved !== null && Math.abs(moved) <= STILL_PX, `moved by ${moved} px`);
      }
      assertSmall(frames);
    });

    await t.step(`${size}: jump to latest, and then the end stays in view while it grows`, async () => {
      await page.getByRole("button", { name: /^(Latest|\d+ new)$/ }).click();
      await page.locator(`[data-index="${index - 1}"]`).waitFor();
      await page.locator(".jump").waitFor({ state: "detached" });
      await standStill(page);
      const message = open(host, index++);
      const frames = await recordFrames(page, () => stream(host, message, page));
      const away = frames.map(({ fromEnd }) => fromEnd);
      assert.ok(Math.max(...away) <= STILL_PX, `the end was ${Math.max(...away)} px away`);
      assertSmall(frames);
    });
    await device.close();
  }
  site.assertQuiet();
});

/** Counts the pages of older entries that a page gets. */
function countOlderPages(page: Page): { count: number } {
  const pages = { count: 0 };
  page.on("websocket", (socket) =>
    socket.on("framereceived", ({ payload }) => {
      if (payload.toString().includes('"session_messages_page"')) pages.count++;
    }));
  return pages;
}

async function scrollUp(size: Size, device: BrowserContext, page: Page): Promise<void> {
  if (size === "phone") return await swipeDown(device, page);
  await page.locator(".timeline").hover();
  await page.mouse.wheel(0, -400);
  await page.mouse.wheel(0, -400);
  // The key scrolls smoothly: sizes and pages come in while the window moves by itself.
  await page.locator(".timeline").focus();
  await page.keyboard.press("PageUp");
  await standStill(page);
}

/** A finger that goes down the screen, frame by frame. */
async function swipeDown(device: BrowserContext, page: Page): Promise<void> {
  const touch = await device.newCDPSession(page);
  const box = (await page.locator(".timeline").boundingBox())!;
  const at = { x: box.x + box.width / 2, y: box.y + 40 };
  await touch.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: [at] });
  for (at.y += 30; at.y < box.y + box.height - 40; at.y += 60) {
    await touch.send("Input.dispatchTouchEvent", { type: "touchMove", touchPoints: [at] });
    await page.evaluate(() => new Promise(requestAnimationFrame));
  }
  await touch.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
  await touch.detach();
}

function open(host: ScriptedProducer, index: number): string {
  return host.write(entryOf(index, "agent_message", { text: "" }, { status: "running" })).id;
}

/** Streams a message with text and code, a piece a frame, and closes it. */
async function stream(host: ScriptedProducer, id: string, page: Page): Promise<void> {
  let text = "";
  for (let at = 0; at < 60; at++) {
    const piece = at % 20 === 10 ? "\n\n```ts\nlet a = 1;\nlet b = 2;\n```\n\n" : `Some more words of part ${at}. `;
    host.delta(id, text.length, piece);
    text += piece;
    await page.evaluate(() => new Promise(requestAnimationFrame));
  }
  host.write({ ...entryOf(Number(id.split("-")[1]), "agent_message", { text }), id });
  await host.settled();
}

/** While somebody scrolls up, rows move down the screen: never back up. */
function assertNeverBack(frames: Frame[]): void {
  for (const [at, frame] of frames.slice(1).entries()) {
    const moved = movementPx(frames[at]!, frame);
    assert.ok(moved === null || moved >= -STILL_PX, `rows jumped back by ${moved} px`);
  }
}

function assertSmall(frames: Frame[]): void {
  const most = Math.max(...frames.map(({ mounted }) => mounted));
  assert.ok(most > 0 && most <= ROWS_MAX, `${most} rows were on the page`);
}
