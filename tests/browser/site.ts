/** A hub with one account, a browser signed in to it, and scripted session hosts: what most browser tests start from. */
import assert from "node:assert/strict";
import type { MetaPatch } from "@/protocol/mod.ts";
import { type HubProcess, startHub } from "@/tests/support/hub.ts";
import { type ProducerOptions, ScriptedProducer } from "@/tests/support/producer.ts";
import {
  type Browser,
  type BrowserContext,
  launchBrowser,
  type Locator,
  newDevice,
  type Page,
  type Size,
  watchPage,
} from "./browser.ts";

/** A page, and what it did that it must not. */
export interface WatchedPage {
  page: Page;
  problems: string[];
}

/** Starts a hub and a browser. Dispose it: both go. */
export async function openSite(): Promise<Site> {
  const hub = await startHub();
  try {
    return new Site(hub, await launchBrowser());
  } catch (error) {
    await hub[Symbol.asyncDispose]();
    throw error;
  }
}

export class Site implements AsyncDisposable {
  readonly #opened: WatchedPage[] = [];

  constructor(readonly hub: HubProcess, readonly browser: Browser) {}

  /** A browser profile that the hub's first person is signed in with. */
  async device(size: Size, colorScheme: "light" | "dark" = "light"): Promise<BrowserContext> {
    const device = await newDevice(this.browser, size, colorScheme);
    await device.addCookies(
      this.hub.cookie.split("; ").map((pair) => {
        const [name = "", ...value] = pair.split("=");
        return { name, value: value.join("="), url: this.hub.url };
      }),
    );
    return device;
  }

  /** A page whose errors {@linkcode assertQuiet} tells. */
  async page(device: BrowserContext): Promise<Page> {
    const page = await device.newPage();
    this.#opened.push({ page, problems: watchPage(page, this.hub.url) });
    return page;
  }

  /** A session with a scripted host; the hub knows it when this resolves. */
  async session(title: string, meta: MetaPatch = {}, options: ProducerOptions = {}): Promise<ScriptedProducer> {
    const producer = new ScriptedProducer(this.hub, options);
    producer.patchMeta({ title, activity: "idle", lastActivityAt: Date.now(), ...meta });
    await producer.settled();
    return producer;
  }

  urlOf({ sessionId }: { sessionId: string }): string {
    return `${this.hub.url}/session/${sessionId}`;
  }

  /** No page logged an error (a CSP violation is one), threw, or asked another host, `expected` aside. */
  assertQuiet(expected?: RegExp): void {
    const problems = this.#opened.flatMap((opened) => opened.problems).filter((problem) => !expected?.test(problem));
    assert.deepEqual(problems, []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.browser.close();
    await this.hub[Symbol.asyncDispose]();
  }
}

/** Whether the page can be moved sideways: content that is wider than the window. */
export function overflowPx(page: Page): Promise<number> {
  return page.evaluate(() => document.scrollingElement!.scrollWidth - innerWidth);
}

/** Where prompts are typed. */
export function promptField(page: Page): Locator {
  return page.getByRole("textbox", { name: "Prompt" }).or(page.getByRole("combobox", { name: "Prompt" }));
}
