/** A terminal under a finger, in a real browser with a phone's touch screen: scrolling, the key bar, pasting. */
import assert from "node:assert/strict";
import type { Locator, Page } from "@/tests/browser/browser.ts";
import { violations } from "@/tests/browser/accessibility.ts";
import { openSite } from "@/tests/browser/site.ts";
import { eventually } from "@/tests/support/patience.ts";
import { startRunner } from "@/tests/support/runner.ts";
import { openTerminal, screenText, shows, type, withoutWebgl } from "./page.ts";

/** A finger, as the browser's own input pipeline sees it. */
class Finger {
  readonly #send: (type: string, points: { x: number; y: number }[]) => Promise<void>;

  private constructor(send: (type: string, points: { x: number; y: number }[]) => Promise<void>) {
    this.#send = send;
  }

  static async on(page: Page): Promise<Finger> {
    const cdp = await page.context().newCDPSession(page);
    return new Finger(async (type, touchPoints) => {
      await cdp.send("Input.dispatchTouchEvent", { type: type as "touchStart", touchPoints });
    });
  }

  /** Puts the finger down in the middle of something. */
  async down(target: Locator): Promise<void> {
    const { x, y, width, height } = (await target.boundingBox())!;
    await this.#send("touchStart", [{ x: x + width / 2, y: y + height / 2 }]);
  }

  async up(): Promise<void> {
    await this.#send("touchEnd", []);
  }

  /** Moves from one place to another in steps, and leaves. */
  async drag(from: { x: number; y: number }, to: { x: number; y: number }): Promise<void> {
    await this.#send("touchStart", [from]);
    const steps = 10;
    for (let step = 1; step <= steps; step++) {
      const share = step / steps;
      await this.#send("touchMove", [{ x: from.x + (to.x - from.x) * share, y: from.y + (to.y - from.y) * share }]);
    }
    await this.up();
  }
}

async function hasKeyboard(page: Page): Promise<boolean> {
  return await page.evaluate(() => document.activeElement?.classList.contains("xterm-helper-textarea") ?? false);
}

const high = { x: 200, y: 250 };
const low = { x: 200, y: 650 };

/** The first number that can be seen. */
async function firstNumber(page: Page): Promise<number> {
  return Number(/^\d+/m.exec(await screenText(page))?.[0]);
}

Deno.test("a terminal on a touch screen", async (t) => {
  await using site = await openSite();
  await using runner = await startRunner(site.hub, { env: { SHELL: "/bin/sh", PS1: "$ ", ENV: "" } });
  const phone = await withoutWebgl(await site.device("phone", "dark"));
  const page = await site.page(phone);
  await openTerminal(site, page, runner);
  await shows(page, "$");
  const finger = await Finger.on(page);
  const key = (name: string) => page.getByRole("button", { name, exact: true });

  await t.step("a finger scrolls the scrollback, and back; the keyboard stays", async () => {
    await type(page, "clear; seq 1 500");
    await shows(page, /^500\n\$/m);
    const bottom = await firstNumber(page);
    await finger.drag(high, low);
    await eventually(async () => await firstNumber(page) < bottom - 10, "earlier lines");
    const above = await firstNumber(page);
    assert.ok(await hasKeyboard(page));
    await finger.drag(low, high);
    await eventually(async () => await firstNumber(page) > above + 10, "later lines");
  });

  await t.step("in a full-screen program a finger is the wheel", async () => {
    await type(page, "clear; printf '\\033[?1049h\\033[H'; cat -v");
    await shows(page, /^\s*$/);
    await finger.drag(high, low);
    await eventually(async () => (await screenText(page)).includes("^[[A"), "arrows up");
    await finger.drag(low, high);
    await eventually(async () => (await screenText(page)).includes("^[[B"), "arrows down");
    await page.locator(".xterm-helper-textarea").focus();
    await page.keyboard.press("Control+c");
    await type(page, "printf '\\033[?1049l'; clear");
  });

  await t.step("every key of the bar types what it says, and leaves the keyboard open", async () => {
    await type(page, "clear; stty -echo -icanon; cat -v");
    await shows(page, /^\s*$/);
    const typed: [string, string][] = [
      ["Esc", "^["],
      ["Shift Tab", "^[[Z"],
      ["Arrow up", "^[[A"],
      ["Arrow down", "^[[B"],
      ["Arrow right", "^[[C"],
      ["Arrow left", "^[[D"],
    ];
    for (const [name] of typed) {
      await key(name).tap();
      assert.ok(await hasKeyboard(page), `${name} took the focus`);
    }
    await shows(page, typed.map(([, text]) => text).join(""));
    await page.keyboard.insertText("<");
    await key("Tab").tap();
    await page.keyboard.insertText(">");
    await shows(page, /<\s+>/);
    const alt = key("Alt, for the next key");
    await alt.tap();
    assert.equal(await alt.getAttribute("aria-pressed"), "true");
    await page.keyboard.insertText("x");
    await shows(page, "^[x");
    assert.equal(await alt.getAttribute("aria-pressed"), "false");
    // Armed, it changes arrows, too; and a second tap disarms it.
    await alt.tap();
    await key("Arrow up").tap();
    await shows(page, "^[[1;3A");
    await alt.tap();
    await alt.tap();
    await page.keyboard.insertText("y");
    await shows(page, "^[[1;3Ay");
    assert.ok(await hasKeyboard(page));
  });

  await t.step("an arrow repeats while it is held, and not longer", async () => {
    await page.keyboard.insertText("|");
    const arrows = async () => (await screenText(page)).split("|").at(-1)!.split("^[[D").length - 1;
    await finger.down(key("Arrow left"));
    await eventually(async () => await arrows() >= 4, "repetition");
    await finger.up();
    await page.keyboard.insertText("let go");
    await shows(page, "let go");
    await page.keyboard.insertText(" and more");
    await shows(page, "let go and more");
    assert.ok(await hasKeyboard(page));
  });

  await t.step("Ctrl holds for one key", async () => {
    await key("Ctrl, for the next key").tap();
    await page.keyboard.insertText("c");
    await shows(page, /\n?.*\$\s*$/);
    await type(page, "stty sane; clear; echo c");
    await shows(page, /^c\n/m);
  });

  await t.step(
    "without permission to read the clipboard, text is pasted by hand, in brackets where asked for",
    async () => {
      await type(page, "clear; printf '\\033[?2004h'; cat -v");
      await shows(page, /^\s*$/);
      await key("Paste").tap();
      const dialog = page.getByRole("dialog", { name: "Paste into the terminal" });
      await dialog.getByRole("textbox").fill("by hand\n二行");
      await dialog.getByRole("button", { name: "Send" }).tap();
      await dialog.waitFor({ state: "detached" });
      await eventually(() => hasKeyboard(page), "the keyboard again");
      await page.keyboard.press("Enter");
      await shows(page, "^[[200~by hand");
      await shows(page, /M-\S+\^\[\[201~/);
    },
  );

  await t.step("with permission, Paste pastes", async () => {
    await phone.grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.bringToFront();
    await page.evaluate(() => navigator.clipboard.writeText("from the clipboard"));
    await key("Paste").tap();
    await page.keyboard.press("Enter");
    await shows(page, "^[[200~from the clipboard^[[201~");
    assert.ok(await hasKeyboard(page));
  });

  await t.step(
    "the screen of a wider window is fitted as far as it can be read; a finger moves it sideways",
    async () => {
      await page.keyboard.press("Control+c");
      const desktop = await site.page(await withoutWebgl(await site.device("desktop")));
      await openTerminal(site, desktop, runner);
      await type(desktop, "printf '\\033[?2004l'; clear; printf '%0180d\\n' 7");
      await page.getByText("the size of another window").waitFor();
      await shows(page, /^0{179}7$/m);
      const frame = page.locator(".terminal-frame");
      const [shownPx, reachablePx] = await frame.evaluate((element) => [element.clientWidth, element.scrollWidth]);
      assert.ok(reachablePx! > shownPx!, "it is wider than the phone");
      const screenPx = (await page.locator(".xterm-screen").boundingBox())!.width;
      assert.ok(reachablePx! >= screenPx, `${screenPx} px of screen, ${reachablePx} px to be seen`);
      await finger.drag({ x: 350, y: 400 }, { x: 50, y: 410 });
      await eventually(async () => await frame.evaluate((element) => element.scrollLeft) > 100, "its right side");
    },
  );

  await t.step("it breaks no rule of WCAG 2 A or AA, on the phone and beside it", async () => {
    assert.deepEqual(await violations(page), []);
    const desktop = await site.page(await site.device("desktop"));
    await openTerminal(site, desktop, runner);
    await desktop.getByRole("button", { name: "Find" }).click();
    await desktop.getByLabel("Where to open a new terminal").click();
    assert.deepEqual(await violations(desktop), []);
  });

  await t.step("no page broke the content policy or asked another host", () => site.assertQuiet());
});
