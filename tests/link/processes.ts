/** Hub and runner of a link test, each in a process of its own. */
import { join } from "node:path";
import { Child } from "../support/child.ts";
import { root } from "../support/hub.ts";
import { eventually, within } from "../support/patience.ts";

const script = (name: string) => join(root, "tests/link", name);

/** A hub with one or more isolates, each on a port of its own. */
export class LinkHub implements AsyncDisposable {
  readonly #dir: string;
  #child: Child;
  /** "http://127.0.0.1:<port>" of each isolate. */
  urls: string[] = [];

  private constructor(dir: string, child: Child) {
    this.#dir = dir;
    this.#child = child;
  }

  /** `way`: how its isolates reach one another besides the mailboxes (test_hub.ts). */
  static async start(isolates = 1, way?: "--direct" | "--unreachable"): Promise<LinkHub> {
    const dir = await Deno.makeTempDir({ prefix: "perch-link-" });
    const hub = new LinkHub(dir, spawn(dir, [...Array(isolates).fill("0"), ...(way === undefined ? [] : [way])]));
    await hub.#ready();
    return hub;
  }

  async #ready(): Promise<void> {
    const [, urls = ""] = await this.#child.line(/^ready (.+)$/, "the hub's addresses");
    this.urls = urls.split(" ");
  }

  get url(): string {
    return this.urls[0]!;
  }
  get port(): number {
    return Number(new URL(this.url).port);
  }

  async kill9(): Promise<void> {
    await this.#child.kill9();
  }

  /** Starts it again on the same database and ports. */
  async restart(): Promise<void> {
    await this.#child[Symbol.asyncDispose]();
    this.#child = spawn(this.#dir, this.urls.map((url) => new URL(url).port));
    await this.#ready();
  }

  /** Opens a stream with `target`, sends `body` and resolves with the answer. */
  stream(
    runnerId: string,
    target: string,
    body: BodyInit | null = null,
    options: { isolate?: number; signal?: AbortSignal } = {},
  ): Promise<Response> {
    const url = new URL("/stream", this.urls[options.isolate ?? 0]);
    url.searchParams.set("runnerId", runnerId);
    url.searchParams.set("target", target);
    const signal = options.signal;
    return fetch(url, { method: "POST", body, ...(signal === undefined ? {} : { signal }) });
  }

  /** Waits until streams to the runner can be opened from every isolate. */
  async linked(runnerId: string): Promise<void> {
    for (const isolate of this.urls.keys()) {
      await eventually(async () => {
        const response = await this.stream(runnerId, "/echo", "?", { isolate });
        const text = await within(response.text(), "an echo");
        return response.ok && text === "?";
      }, "the runner's link");
    }
  }

  async memoryBytes(): Promise<number> {
    return await (await fetch(new URL("/memory", this.url))).json();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child[Symbol.asyncDispose]();
    await Deno.remove(this.#dir, { recursive: true }).catch(() => {});
  }
}

function spawn(dir: string, ports: readonly string[]): Child {
  return new Child({
    args: ["run", "-A", "--no-check", "--quiet", script("test_hub.ts"), join(dir, "kv.sqlite"), ...ports],
    cwd: root,
    logPath: join(dir, "hub.log"),
  });
}

/** A runner that takes streams as echo_runner.ts says. */
export async function startEchoRunner(hubUrl: string, runnerId: string, user = "ann"): Promise<Child> {
  const logPath = await Deno.makeTempFile({ prefix: "perch-echo-" });
  const child = new Child({
    args: ["run", "-A", "--no-check", "--quiet", script("echo_runner.ts"), hubUrl, `key-${user}`, runnerId],
    cwd: root,
    logPath,
  });
  await child.line(/^started$/, "the runner");
  return child;
}
