/** The real hub as a process of its own: `deno run -A start.ts --no-runner` on a temporary data directory. */
import { join } from "node:path";
import { Child, logTail } from "./child.ts";
import { eventually, within } from "./patience.ts";

export const root = join(import.meta.dirname!, "../..");

/** As `deno task start` has it: garbage may grow the heap by a third, not by several times. */
const HUB_V8_FLAGS = "--v8-flags=--heap-growing-percent=30";

export interface HubOptions {
  /** Default: any free one. Needed with PERCH_PUBLIC_URL, for the hub then prints that. */
  port?: number;
  /** Isolates that serve the port; default 1. */
  isolates?: number;
  /** Further environment. */
  env?: Record<string, string>;
  /** Further options of `deno run`. */
  denoArgs?: string[];
}

/** A person's means to use a hub. */
export interface Person {
  /** Value of a Cookie header: a signed-in browser. */
  cookie: string;
  /** Of `Authorization: Bearer`. */
  apiKey: string;
  keyId: string;
}

/** Where sockets are opened, and for whom. */
export interface HubAddress {
  /** "<name>:<port>" */
  readonly host: string;
  readonly url: string;
  readonly person: Person;
}

/** Of every account that the tests make. */
export const PASSWORD = "Correct-horse-7";

/** Starts a hub, makes its first account and an API key. Dispose it: the process and its data directory go. */
export async function startHub(options: HubOptions = {}): Promise<HubProcess> {
  const dataDir = await Deno.makeTempDir({ prefix: "perch-hub-" });
  const hub = new HubProcess(dataDir, options);
  try {
    await hub.start(options.port ?? 0);
    hub.person = await setUp(hub, hub);
    return hub;
  } catch (error) {
    await hub[Symbol.asyncDispose]();
    throw error;
  }
}

const NOBODY: Person = { cookie: "", apiKey: "", keyId: "" };

/** Makes the first account with the set-up link that `printer` printed, through `client`. */
export async function setUp(printer: HubProcess, client: HubClient): Promise<Person> {
  const [, token = ""] = await printer.child.line(/^Make the first account: \S+\/setup#(\S+)$/, "the set-up link");
  return await client.signedIn("/api/setup", { token, name: "Ann", email: "ann@perch.test", password: PASSWORD });
}

/** Talks to a hub over HTTP, wherever it is. */
export class HubClient implements HubAddress {
  /** Where people open it: "http://localhost:<port>". */
  url: string;
  person: Person = NOBODY;

  constructor(url: string) {
    this.url = url;
  }

  get apiKey(): string {
    return this.person.apiKey;
  }
  get cookie(): string {
    return this.person.cookie;
  }
  get port(): number {
    return Number(new URL(this.url).port);
  }
  /** "localhost:<port>" */
  get host(): string {
    return new URL(this.url).host;
  }

  /** `GET /healthz`, or null when nobody answers. A connection of its own, so that any isolate may answer. */
  async health(): Promise<{ status: string; isolate: string; kv: string; uptimeMs: number; version: string } | null> {
    using client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
    const init: RequestInit & { client: Deno.HttpClient } = { client };
    try {
      const response = await fetch(`${this.url}/healthz`, init);
      return await response.json();
    } catch {
      return null;
    }
  }

  /** A counter of /metrics, summed over isolates; 0 while it was never touched. `label`: the value of its one label. */
  async metric(name: string, label?: string): Promise<number> {
    const response = await this.fetch("/metrics", { headers: { authorization: `Bearer ${this.apiKey}` } });
    const lines = (await response.text()).split("\n").filter((line) =>
      line.startsWith(`${name}{`) && (label === undefined || line.includes(`="${label}"`))
    );
    return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  }

  /** A request with the first person's cookie and the hub's own Origin, unless `init` says otherwise. */
  fetch(path: string, init: RequestInit & { person?: Person } = {}): Promise<Response> {
    const { person = this.person, ...rest } = init;
    const headers = new Headers(rest.headers);
    if (!headers.has("cookie") && !headers.has("authorization") && person.cookie !== "") {
      headers.set("cookie", person.cookie);
    }
    if (!headers.has("origin")) headers.set("origin", this.url);
    if (typeof rest.body === "string" && !headers.has("content-type")) headers.set("content-type", "application/json");
    return within(fetch(this.url + path, { ...rest, headers }), `the answer to ${path}`);
  }

  /** JSON in, JSON out. Throws for an answer that is no success. */
  // deno-lint-ignore no-explicit-any -- tests look into answers of every route
  async api(method: string, path: string, body?: unknown, person?: Person): Promise<any> {
    const response = await this.fetch(path, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(person === undefined ? {} : { person }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === "" ? null : JSON.parse(text);
  }

  /** Makes another account, through an invite of the first person. */
  async invite(name: string): Promise<Person> {
    const { url } = await this.api("POST", "/api/invites", {});
    const inviteToken = new URL(url).hash.replace("#invite=", "");
    const account = { name, email: `${name.toLowerCase()}@perch.test`, password: PASSWORD, inviteToken };
    return await this.signedIn("/api/auth/sign-up/email", account);
  }

  /** Posts what signs somebody in, takes the cookie and makes an API key. */
  async signedIn(path: string, body: object): Promise<Person> {
    const response = await this.fetch(path, {
      method: "POST",
      body: JSON.stringify(body),
      person: NOBODY,
    });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    await response.body?.cancel();
    const cookie = response.headers.getSetCookie().map((set) => set.split(";")[0]).join("; ");
    const key = await this.makeKey({ ...NOBODY, cookie }, "tests");
    return { cookie, apiKey: key.key, keyId: key.id };
  }

  async makeKey(person: Person, name: string): Promise<{ id: string; key: string }> {
    return await this.api("POST", "/api/keys", { name }, person);
  }
}

export class HubProcess extends HubClient implements AsyncDisposable {
  readonly dataDir: string;
  readonly #options: HubOptions;
  #child: Child | null = null;

  constructor(dataDir: string, options: HubOptions) {
    super("");
    this.dataDir = dataDir;
    this.#options = options;
  }

  get child(): Child {
    if (this.#child === null) throw new Error("the hub was not started");
    return this.#child;
  }
  get pid(): number {
    return this.child.pid;
  }
  /** What the hub's processes wrote to stderr. */
  get logPath(): string {
    return join(this.dataDir, "hub.log");
  }

  /** Starts the process; 0 takes any free port. Resolves when it serves. */
  async start(port: number): Promise<void> {
    const { env, isolates = 1, denoArgs = [] } = this.#options;
    const hubArgs = ["--no-runner", "--port", String(port), "--data-dir", this.dataDir];
    this.#child = new Child({
      args: ["run", "-A", "--quiet", HUB_V8_FLAGS, ...denoArgs, "start.ts", ...hubArgs],
      cwd: root,
      env: { PERCH_ISOLATES: String(isolates), ...env },
      logPath: this.logPath,
    });
    const [, url = ""] = await this.#child.line(/^Perch \S+ is at (\S+)$/, "the hub's URL");
    this.url = env?.PERCH_PUBLIC_URL === undefined ? url : `http://localhost:${port}`;
    await eventually(async () => (await this.health())?.status === "ok", "a healthy hub");
  }

  /** `kill -9`, as a crash or the kernel's out-of-memory killer would. */
  async kill9(): Promise<void> {
    await this.child.kill9();
  }

  /** SIGTERM; rejects when it does not end by itself with code 0. */
  async stop(): Promise<void> {
    const { code } = await this.child.stop();
    if (code !== 0) throw new Error(`the hub ended with code ${code}; its log: ${logTail(this.logPath)}`);
  }

  /** Starts it again on the same data directory and port, after it was stopped or killed. */
  async restart(): Promise<void> {
    await this.child[Symbol.asyncDispose]();
    await this.start(this.port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child?.[Symbol.asyncDispose]();
    await Deno.remove(this.dataDir, { recursive: true }).catch(() => {});
  }
}
