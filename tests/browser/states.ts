/** Every page of the app, in the states that look different. */
import type { RunnerProcess } from "@/tests/support/runner.ts";
import type { ScriptedProducer } from "@/tests/support/producer.ts";
import { localServer } from "@/tests/tunnel/support.ts";
import type { BrowserContext, Page } from "./browser.ts";
import { busyMeta, entryOf, everyKind } from "./entries.ts";
import { promptField, type Site } from "./site.ts";

export interface PageState {
  name: string;
  /** Takes a page there. */
  open: (page: Page) => Promise<void>;
  /** Undoes what would trouble the next state. */
  leave?: () => Promise<void>;
}

/** What nobody who is signed in can see. */
export function strangerStates({ hub }: Site): PageState[] {
  return [
    {
      name: "login",
      open: async (page) => {
        await page.goto(`${hub.url}/login`);
        await page.getByRole("button", { name: "Sign in" }).waitFor();
      },
    },
    {
      name: "login, refused",
      open: async (page) => {
        await page.goto(`${hub.url}/login`);
        await page.getByLabel("Email").fill("ann@perch.test");
        await page.getByLabel("Password", { exact: true }).fill("Wrong-horse-7");
        await page.getByRole("button", { name: "Sign in" }).click();
        await page.getByRole("alert").waitFor();
      },
    },
    {
      name: "setup",
      open: async (page) => {
        await page.goto(`${hub.url}/setup#not-a-token`);
        await page.getByLabel("Password", { exact: true }).fill("short");
      },
    },
  ];
}

/** What a person without a session sees. */
export function emptyStates({ hub }: Site): PageState[] {
  return [
    {
      name: "dashboard, empty",
      open: async (page) => {
        await page.goto(hub.url);
        await page.getByRole("button", { name: "Start the demo" }).waitFor();
      },
    },
  ];
}

/** Sessions whose rows and pages look different. */
export class Sessions implements AsyncDisposable {
  private constructor(
    readonly busy: ScriptedProducer,
    readonly others: ScriptedProducer[],
    readonly runner: RunnerProcess,
    /** A page that a port of the busy session leads to. */
    readonly local: { port: number } & AsyncDisposable,
    /** A link to it, with a password. */
    readonly link: string,
  ) {}

  static async start(site: Site, runner: RunnerProcess): Promise<Sessions> {
    const at = { runnerId: runner.runnerId };
    const busy = await site.session("Make the parser read only the header of each file", {
      ...busyMeta,
      ports: [{ port: 5_173, process: "vite" }],
    }, at);
    for (const entry of everyKind()) busy.write(entry);
    const working = await site.session(
      "Write the release notes",
      { activity: "working", preview: "Reading the log" },
      at,
    );
    const ended = await site.session("Try the other queue", {
      activity: "ended",
      ended: { reason: "failed", detail: "error: no such file\n  at main.ts:1", at: 1_000 },
    }, at);
    const empty = await site.session("Nothing yet", {}, at);
    ended.write(entryOf(0, "user_message", { text: "Is it faster?" }));
    const all = [busy, working, ended, empty];
    for (const host of all) await host.settled();
    const local = localServer(() => new Response("The pond", { headers: { "content-type": "text/html" } }));
    const { tunnel } = await site.hub.api("POST", "/api/tunnels", {
      ...at,
      port: local.port,
      sessionId: busy.sessionId,
      name: "Pond",
      bounds: { connections: 20, bytesPerS: 2_000_000 },
    });
    const { url } = await site.hub.api("POST", `/api/tunnels/${tunnel.tunnelId}/shares`, {
      name: "Bob",
      password: "reed",
    });
    return new Sessions(busy, [working, ended, empty], runner, local, url);
  }

  states(site: Site, device: BrowserContext): PageState[] {
    const { hub } = site;
    const [working, ended, empty] = this.others;
    const openSession = async (page: Page) => {
      await page.goto(site.urlOf(this.busy));
      await page.getByRole("region", { name: "Permission needed" }).getByText("readHeader").first().waitFor();
    };
    return [
      {
        name: "dashboard",
        open: async (page) => {
          await page.goto(hub.url);
          await page.getByText("Needs you").waitFor();
        },
      },
      {
        name: "new session",
        open: async (page) => {
          await page.goto(`${hub.url}/?new`);
          await page.getByRole("dialog").getByText("First prompt").waitFor();
          await page.getByRole("dialog").getByText("that are not set up").click();
        },
      },
      { name: "session", open: openSession },
      {
        name: "session, a diff and the plan opened",
        open: async (page) => {
          await openSession(page);
          await page.locator(".plan > summary").click();
          await openFolds(page, ".tool .diff-scroll");
          await page.locator(".tool .diff-scroll tr.is-added").first().waitFor();
        },
      },
      {
        name: "session, its start opened",
        open: async (page) => {
          await openSession(page);
          await openFolds(page, '[data-index="1"] .fold-body');
          await page.locator(".code-block .hljs-keyword").first().waitFor();
        },
      },
      {
        name: "session, its menu",
        open: async (page) => {
          await openSession(page);
          await page.getByLabel("Session menu").click();
          await promptField(page).fill("/");
          await page.getByRole("listbox", { name: "Commands" }).waitFor();
        },
      },
      {
        name: "session, its ports, none exposed",
        open: async (page) => {
          await page.goto(site.urlOf(working!));
          await page.locator(".session-head").getByText("Working").waitFor();
          await page.getByLabel("Session menu").click();
          await page.getByRole("button", { name: "Ports" }).click();
          await page.getByRole("button", { name: "Expose" }).click();
          await page.getByText("A port is a number").waitFor();
        },
      },
      ...tunnelStates(openSession, `${hub.url}/runner/${this.runner.runnerId}`, this.link),
      {
        name: "session, offline",
        open: async (page) => {
          await page.goto(site.urlOf(working!));
          await page.locator(".session-head").getByText("Working").waitFor();
          await promptField(page).fill("And thank the testers");
          await device.setOffline(true);
          await page.getByText(/^(Offline|Reconnecting)/).first().waitFor();
          await page.getByRole("button", { name: /^Send/ }).click();
          await page.getByText("Kept here").waitFor();
        },
        leave: () => device.setOffline(false),
      },
      {
        name: "session, ended",
        open: async (page) => {
          await page.goto(site.urlOf(ended!));
          await page.getByText("The agent failed.").waitFor();
        },
      },
      {
        name: "session, delete",
        open: async (page) => {
          await page.goto(site.urlOf(empty!));
          await page.getByText("Nothing yet. Ask").waitFor();
          await page.getByLabel("Session menu").click();
          await page.getByRole("button", { name: "Delete…" }).click();
          await page.getByRole("dialog").waitFor();
        },
      },
      {
        name: "no such session",
        open: async (page) => {
          await page.goto(`${hub.url}/session/none`);
          await page.getByText("Not here").waitFor();
        },
      },
      {
        name: "settings",
        open: async (page) => {
          await page.goto(`${hub.url}/settings`);
          await page.getByText("tests", { exact: true }).first().waitFor();
        },
      },
      {
        name: "device",
        open: async (page) => {
          const { userCode } = await hub.api("POST", "/api/device", { clientName: "build-box" });
          await page.goto(`${hub.url}/device?code=${userCode}`);
          await page.getByRole("button", { name: "Allow" }).waitFor();
        },
      },
      {
        name: "device, code",
        open: async (page) => {
          await page.goto(`${hub.url}/device`);
          await page.getByLabel("Code shown in the terminal").waitFor();
        },
      },
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const host of [this.busy, ...this.others, this.local]) await host[Symbol.asyncDispose]();
  }
}

/** What there is to see of a session's ports, and on a runner's page. */
function tunnelStates(
  openSession: (page: Page) => Promise<void>,
  runnerUrl: string,
  link: string,
): PageState[] {
  const openPorts = async (page: Page) => {
    await openSession(page);
    await page.getByRole("button", { name: "1 exposed port" }).click();
    await page.getByRole("heading", { name: "Pond" }).waitFor();
  };
  return [
    {
      name: "session, a preview beside it",
      open: async (page) => {
        await openPorts(page);
        await page.getByRole("button", { name: "Preview Pond" }).click();
        await page.frameLocator(".side-frame").getByText("The pond").waitFor();
      },
    },
    {
      name: "session, the log of a port",
      open: async (page) => {
        await openPorts(page);
        await page.getByRole("button", { name: "Access log" }).click();
        await page.getByRole("region", { name: "Access log of Pond" }).waitFor();
      },
    },
    {
      name: "session, a port is shared",
      open: async (page) => {
        await openPorts(page);
        await page.getByRole("button", { name: "Share" }).click();
        await page.getByRole("button", { name: "Create link" }).click();
        await page.getByText("copy the link now").waitFor();
      },
    },
    {
      name: "runner, a port's settings",
      open: async (page) => {
        await page.goto(runnerUrl);
        await page.getByRole("button", { name: "Settings" }).first().click();
        await page.getByLabel("Speed").fill("fast");
        await page.getByRole("button", { name: "Save" }).click();
        await page.getByText("Write a speed like").waitFor();
        await page.getByRole("button", { name: "Expose a port" }).click();
        await page.getByText("More options").click();
        await page.getByLabel("Ends").waitFor();
      },
    },
    {
      name: "share link, its password is wrong",
      open: async (page) => {
        await page.goto(link);
        await page.getByLabel("Password of this link").fill("lily");
        await page.getByRole("button", { name: "Open" }).click();
        await page.getByText("the password is wrong").waitFor();
      },
    },
    {
      name: "tunnel, not admitted",
      open: async (page) => {
        await page.context().clearCookies({ domain: new URL(link).hostname });
        await page.goto(new URL("/", link).href);
        await page.getByText("Go in as its owner").waitFor();
      },
    },
    {
      name: "runner, a port is closed",
      open: async (page) => {
        await page.goto(runnerUrl);
        await page.getByRole("button", { name: "Close Pond" }).click();
        await page.getByRole("dialog").waitFor();
      },
    },
  ];
}

/** Opens what can be opened in the timeline, from its end up, until there is a `target`. */
async function openFolds(page: Page, target: string): Promise<void> {
  await page.locator(".timeline").evaluate(async (box, target) => {
    while (!box.querySelector(target)) {
      for (const fold of box.querySelectorAll<HTMLElement>("details:not([open]) > summary")) fold.click();
      box.scrollTop -= 300;
      await new Promise(requestAnimationFrame);
    }
    box.querySelector(target)!.scrollIntoView({ block: "center" });
  }, target);
}
