/** A hub's accounts over real HTTP with real KV, for tests. */
import { App } from "fresh";
import { openAuth } from "./mod.ts";
import type { Auth, AuthOptions } from "./mod.ts";
import type { Principal } from "@/lib/principal.ts";
import type { State } from "@/lib/state.ts";
import { handler as account } from "@/routes/api/account.ts";
import { handler as authRoutes } from "@/routes/api/auth/[...path].ts";
import { handler as deviceApprove } from "@/routes/api/device/approve.ts";
import { handler as deviceEnroll } from "@/routes/api/device/enroll.ts";
import { handler as device } from "@/routes/api/device/index.ts";
import { handler as deviceInfo } from "@/routes/api/device/info.ts";
import { handler as deviceToken } from "@/routes/api/device/token.ts";
import { handler as invite } from "@/routes/api/invites/[id].ts";
import { handler as invites } from "@/routes/api/invites/index.ts";
import { handler as key } from "@/routes/api/keys/[id].ts";
import { handler as keys } from "@/routes/api/keys/index.ts";
import { handler as setup } from "@/routes/api/setup.ts";
import { handler as signupStatus } from "@/routes/api/signup-status.ts";

export const PASSWORD = "Correct1Horse";

/** An answer, read. `body` is what was sent, unparsed when it was not JSON. */
export interface Reply {
  status: number;
  headers: Headers;
  body: unknown;
}

/** `code (field)` of an error; the status of anything else. */
export function codeOf(reply: Reply): unknown {
  const { error } = reply.body as { error?: { code: string; field?: string } };
  return error === undefined ? reply.status : error.field === undefined ? error.code : `${error.code} (${error.field})`;
}

interface Revocation {
  userId: string;
  credential: Principal["credential"];
}

/** A server with the account routes on a port of its own. */
export class TestHub implements AsyncDisposable {
  private constructor(
    readonly revoked: readonly Revocation[],
    readonly auth: Auth,
    readonly origin: string,
    readonly kv: Deno.Kv,
    private readonly server: Deno.HttpServer,
  ) {}

  /** Starts over the database in `path`, or in memory. */
  static async start(options: Partial<AuthOptions> & { path?: string } = {}): Promise<TestHub> {
    const { path = ":memory:", ...given } = options;
    const kv = await Deno.openKv(path);
    const revoked: Revocation[] = [];
    let origin = "http://127.0.0.1";
    const auth = await openAuth({
      kv,
      baseUrl: () => origin,
      isSignupOpen: false,
      onRevoked: (userId, credential) => void revoked.push({ userId, credential }),
      ...given,
    });
    const app = new App<State>().use((ctx) => {
      Object.assign(ctx.state, { hub: { auth, config: {} }, principal: null });
      return ctx.next();
    });
    const routes = {
      ...{ "/api/account": account, "/api/auth/:path*": authRoutes, "/api/setup": setup },
      ...{ "/api/signup-status": signupStatus, "/api/keys": keys, "/api/keys/:id": key },
      ...{ "/api/invites": invites, "/api/invites/:id": invite, "/api/device": device },
      ...{ "/api/device/info": deviceInfo, "/api/device/approve": deviceApprove },
      ...{ "/api/device/token": deviceToken, "/api/device/enroll": deviceEnroll },
    };
    for (const [route, handler] of Object.entries(routes)) app.route(route, { handler });
    const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, app.handler());
    origin = `http://127.0.0.1:${server.addr.port}`;
    return new TestHub(revoked, auth, origin, kv, server);
  }

  /** A browser or script without credentials. */
  client(headers: Record<string, string> = {}): TestClient {
    return new TestClient(this.origin, headers);
  }

  /** A browser that made the hub's first account. */
  async owner(): Promise<TestClient> {
    const client = this.client();
    const token = await this.auth.issueSetupToken();
    const reply = await client.post("/api/setup", { token, name: "Ana", email: "ana@example.com", password: PASSWORD });
    if (reply.status !== 201) throw new Error(`Set-up answered ${reply.status}: ${JSON.stringify(reply.body)}`);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.auth.close();
    await this.server.shutdown();
    this.kv.close();
  }
}

/** Keeps cookies and sends the Origin, as a browser does. Headers given as "" are left out. */
export class TestClient {
  cookies = new Map<string, string>();
  setCookies: string[] = [];

  constructor(readonly origin: string, readonly headers: Record<string, string> = {}) {}

  get(path: string, headers: Record<string, string> = {}): Promise<Reply> {
    return this.send("GET", path, undefined, headers);
  }

  post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Reply> {
    return this.send("POST", path, JSON.stringify(body), {
      origin: this.origin,
      "content-type": "application/json",
      ...headers,
    });
  }

  delete(path: string, headers: Record<string, string> = {}): Promise<Reply> {
    return this.send("DELETE", path, undefined, { origin: this.origin, ...headers });
  }

  async send(
    method: string,
    path: string,
    body: string | undefined,
    headers: Record<string, string>,
  ): Promise<Reply> {
    const merged = new Headers();
    for (const [name, value] of Object.entries({ ...headers, ...this.headers })) {
      if (value !== "") merged.set(name, value);
    }
    if (this.cookies.size > 0) {
      merged.set("cookie", [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; "));
    }
    const response = await fetch(new URL(path, this.origin), { method, body, headers: merged });
    this.setCookies = response.headers.getSetCookie();
    for (const cookie of this.setCookies) {
      const [, name = "", value = "", attributes = ""] = /^([^=]+)=([^;]*)(.*)$/.exec(cookie) ?? [];
      if (/max-age=0/i.test(attributes)) this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    const text = await response.text();
    let parsed: unknown = text;
    if (response.headers.get("content-type")?.includes("json") === true) parsed = JSON.parse(text);
    return { status: response.status, headers: response.headers, body: parsed };
  }
}
