/** Accounts of a hub: who may sign in, and whom a request speaks for. `http.ts` offers them over REST. */
import { isAPIError } from "better-auth/api";
import * as z from "zod";
import type { Authenticator, Principal } from "@/lib/principal.ts";
import { Accounts, checkPassword } from "./accounts.ts";
import { ApiKeys } from "./api_keys.ts";
import { sealed } from "./adapter.ts";
import { CredentialCache } from "./credential_cache.ts";
import { Devices } from "./devices.ts";
import { AuthError } from "./errors.ts";
import { cookieOf, createIdentity, type Identity, PEER_HEADER } from "./identity.ts";
import { RateLimiter } from "./rate_limit.ts";
import { tableSpecs } from "./schema.ts";
import { randomSecret } from "./secrets.ts";
import { Tables } from "./tables.ts";
import type { Row } from "./where.ts";

export { AuthError } from "./errors.ts";

export interface AuthOptions {
  kv: Deno.Kv;
  /** Signs cookies. Default: made once and kept in KV. */
  secret?: string;
  /** Where people open the hub, "https://perch.example". A function when that is known only once the hub listens. */
  baseUrl: string | (() => string);
  /** Whether anybody may sign up once the first account exists. */
  isSignupOpen: boolean;
  /** Told on this isolate of each credential that stops being valid: signed out, revoked, replaced. */
  onRevoked?: (userId: string, credential: Principal["credential"]) => void | Promise<void>;
}

/** A browser's sign-in, as the account page lists it. */
export interface SessionListing {
  id: string;
  /** Times in ms since the epoch. */
  createdAt: number;
  updatedAt: number;
  expiresAt: number;
  ipAddress: string;
  userAgent: string;
  isCurrent: boolean;
}

/** A user and the cookies that the answer must set. */
export interface SignedIn {
  user: { id: string; name: string; email: string };
  headers: Headers;
}

const SECRET_KEY: Deno.KvKey = ["auth", "secret"];
const UserRow = z.object({ id: z.string(), name: z.string(), email: z.string() });
const SessionRow = z.object({
  id: z.string(),
  userId: z.string(),
  createdAt: z.date(),
  updatedAt: z.date(),
  expiresAt: z.date(),
  ipAddress: z.string().nullish(),
  userAgent: z.string().nullish(),
});

/** Opens the accounts of the hub whose database `kv` is. */
export async function openAuth(options: AuthOptions): Promise<Auth> {
  return new Auth(options, options.secret ?? await storedSecret(options.kv));
}

export class Auth implements Authenticator {
  readonly accounts: Accounts;
  readonly keys: ApiKeys;
  readonly devices: Devices;
  readonly rates: RateLimiter;
  readonly #options: AuthOptions;
  readonly #secret: string;
  readonly #tables: Tables;
  readonly #cache: CredentialCache;
  #identity: { baseUrl: string; identity: Identity } | null = null;

  constructor(options: AuthOptions, secret: string) {
    this.#options = options;
    this.#secret = secret;
    this.#tables = new Tables(options.kv, tableSpecs, (table, row) => this.#onRemoved(table, row));
    this.#cache = new CredentialCache(async ({ kind, id }) =>
      await this.#tables.get(kind === "key" ? "apiKey" : "session", id) !== null
    );
    this.accounts = new Accounts(this.#tables, {
      hash: (password) => this.#better().password.hash(password),
      isSignupOpen: options.isSignupOpen,
    });
    this.keys = new ApiKeys(this.#tables);
    this.devices = new Devices(this.#tables, this.keys);
    this.rates = new RateLimiter(options.kv);
  }

  /** Where people open the hub. */
  get baseUrl(): string {
    const { baseUrl } = this.#options;
    return typeof baseUrl === "string" ? baseUrl : baseUrl();
  }

  /**
   * Whom a request speaks for: by `Authorization: Bearer <API key>` or by cookie. A Bearer token that is present but wrong
   * is nobody, whatever cookie comes with it. Never writes a cookie; `getSession` is what keeps a session from ageing.
   */
  authenticate(req: Request): Promise<Principal | null> {
    const bearer = /^bearer(?:\s+(.*))?$/i.exec(req.headers.get("authorization") ?? "");
    if (bearer !== null) {
      const key = bearer[1]?.trim() ?? "";
      return this.#cache.resolve(`key ${key}`, () => this.#byKey(key));
    }
    const { auth, sessionCookie } = this.#better();
    const cookie = cookieOf(req, sessionCookie);
    if (cookie === null) return Promise.resolve(null);
    return this.#cache.resolve(`session ${cookie}`, async () => {
      const headers = new Headers({ cookie: `${sessionCookie}=${cookie}` });
      const found = await auth.api.getSession({ headers, query: { disableRefresh: true } });
      if (found === null) return null;
      const { user, session } = found;
      return {
        principal: { userId: user.id, userName: user.name, credential: { kind: "session" as const, id: session.id } },
        expiresAt: session.expiresAt.getTime(),
      };
    });
  }

  /**
   * Forgets what is remembered of a credential, so that even its user's name is read afresh. Revocations need no such
   * call, here or on other isolates: `authenticate` sees them at once.
   */
  invalidate(credential: Principal["credential"]): void {
    this.#cache.forget(credential);
  }

  /** Whether a credential still counts: not signed out, revoked or expired. */
  async isValid({ kind, id }: Principal["credential"]): Promise<boolean> {
    const found = await this.#tables.get(kind === "key" ? "apiKey" : "session", id);
    if (found === null) return false;
    const { expiresAt } = found.row;
    return !(expiresAt instanceof Date) || expiresAt.getTime() > Date.now();
  }

  /** Whether a request carries this hub's session cookie, valid or not. */
  hasSessionCookie(req: Request): boolean {
    return cookieOf(req, this.#better().sessionCookie) !== null;
  }

  /** See {@linkcode Accounts.issueSetupToken}. */
  issueSetupToken(): Promise<string | null> {
    return this.accounts.issueSetupToken();
  }

  /** See {@linkcode Devices.issueEnrollment}. */
  issueEnrollment(): Promise<string> {
    return this.devices.issueEnrollment();
  }

  /** Starts a session. Error: `invalid_credentials` (401), the same for a wrong password and an unknown address. */
  async signIn(email: string, password: string, origin: { peer: string; userAgent: string }): Promise<SignedIn> {
    const headers = new Headers({ [PEER_HEADER]: origin.peer, "user-agent": origin.userAgent.slice(0, 512) });
    const verifiedAgainst = await this.#passwordHash(email);
    try {
      const result = await this.#better().auth.api.signInEmail({
        body: { email, password },
        headers,
        returnHeaders: true,
      });
      const user = UserRow.parse(result.response.user);
      // A password change ends the sessions that it finds; this one may have been made just after it looked.
      if (await this.#passwordHash(email) === verifiedAgainst) return { user, headers: cookiesOf(result.headers) };
      await this.#tables.remove("session", [{ field: "token", value: sealed(result.response.token) }]);
    } catch (error) {
      if (!isAPIError(error) || error.statusCode >= 500) throw error;
    }
    throw new AuthError(401, "invalid_credentials", "The email address or the password is wrong");
  }

  /** Ends the request's session, if any. Returns the headers that clear its cookies. */
  async signOut(req: Request): Promise<Headers> {
    const { headers } = await this.#better().auth.api.signOut({ headers: cookieHeader(req), returnHeaders: true });
    return cookiesOf(headers);
  }

  /** The request's session and user, or null; refreshes a session (and its cookie) that is older than a day. */
  async getSession(
    req: Request,
  ): Promise<{ current: SignedIn["user"] & { sessionId: string; expiresAt: number } | null; headers: Headers }> {
    const result = await this.#better().auth.api.getSession({ headers: cookieHeader(req), returnHeaders: true });
    const headers = cookiesOf(result.headers);
    if (result.response === null) return { current: null, headers };
    const { user, session } = result.response;
    return {
      current: { ...UserRow.parse(user), sessionId: session.id, expiresAt: session.expiresAt.getTime() },
      headers,
    };
  }

  /**
   * Changes the password of the request's user and ends all its other sessions; this one and API keys stay. Errors:
   * `password_<rule>` (400, field `newPassword`), `wrong_password` (400, field `currentPassword`).
   */
  async changePassword(req: Request, principal: Principal, current: string, next: string): Promise<void> {
    const body = {
      currentPassword: current,
      newPassword: checkPassword(next, "newPassword"),
      revokeOtherSessions: false,
    };
    try {
      await this.#better().auth.api.changePassword({ body, headers: cookieHeader(req) });
    } catch (error) {
      if (!isAPIError(error) || error.statusCode >= 500) throw error;
      if (error.statusCode === 401) throw new AuthError(401, "unauthorized", "Sign in first");
      throw new AuthError(400, "wrong_password", "The current password is wrong", { field: "currentPassword" });
    }
    for (const session of await this.listSessions(principal)) {
      if (!session.isCurrent) await this.#tables.remove("session", [{ field: "id", value: session.id }]);
    }
  }

  /** The user's sessions, newest first. */
  async listSessions({ userId, credential }: Principal): Promise<SessionListing[]> {
    const rows = await this.#tables.find("session", [
      { field: "userId", value: userId },
      { field: "expiresAt", operator: "gt", value: new Date() },
    ], { sortBy: { field: "createdAt", direction: "desc" } });
    return rows.map((row) => SessionRow.parse(row)).map((row) => ({
      id: row.id,
      createdAt: row.createdAt.getTime(),
      updatedAt: row.updatedAt.getTime(),
      expiresAt: row.expiresAt.getTime(),
      ipAddress: row.ipAddress ?? "",
      userAgent: row.userAgent ?? "",
      isCurrent: credential.kind === "session" && credential.id === row.id,
    }));
  }

  /** Ends one of the user's sessions. Error: `not_found` (404). */
  async revokeSession(userId: string, sessionId: string): Promise<void> {
    const where = [{ field: "id", value: sessionId }, { field: "userId", value: userId }];
    if (await this.#tables.remove("session", where) !== null) return;
    throw new AuthError(404, "not_found", "There is no such session of yours");
  }

  /** Answers requests that are held open; call it before waiting for the server to finish. Leaves KV open. */
  close(): void {
    this.devices.close();
  }

  #better(): Identity {
    const { baseUrl } = this;
    if (this.#identity?.baseUrl !== baseUrl) {
      this.#identity = { baseUrl, identity: createIdentity(this.#tables, { secret: this.#secret, baseUrl }) };
    }
    return this.#identity.identity;
  }

  /** The stored password hash of the account with this address; null when there is none. */
  async #passwordHash(email: string): Promise<unknown> {
    const user = await this.#tables.selectOne("user", [{ field: "email", value: email }]);
    if (user === null) return null;
    const where = [{ field: "providerId", value: "credential" }, { field: "accountId", value: user.row.id }];
    return (await this.#tables.selectOne("account", where))?.row.password ?? null;
  }

  async #byKey(key: string): Promise<{ principal: Principal; expiresAt: number | null } | null> {
    const verified = await this.keys.verify(key);
    if (verified === null) return null;
    const user = await this.#tables.get("user", verified.userId);
    if (user === null) return null;
    const { id: userId, name: userName } = UserRow.parse(user.row);
    const credential = { kind: "key" as const, id: verified.keyId };
    return { principal: { userId, userName, credential }, expiresAt: verified.expiresAt };
  }

  async #onRemoved(table: string, row: Row): Promise<void> {
    const kind = table === "session" ? "session" as const : table === "apiKey" ? "key" as const : null;
    if (kind === null) return;
    const credential = { kind, id: row.id };
    this.#cache.forget(credential);
    await this.#options.onRevoked?.(z.string().parse(row.userId), credential);
  }
}

/** The secret of this hub, made by whoever comes first. */
async function storedSecret(kv: Deno.Kv): Promise<string> {
  await kv.atomic().check({ key: SECRET_KEY, versionstamp: null }).set(SECRET_KEY, randomSecret()).commit();
  return z.string().parse((await kv.get(SECRET_KEY, { consistency: "strong" })).value);
}

function cookieHeader(req: Request): Headers {
  return new Headers({ cookie: req.headers.get("cookie") ?? "" });
}

function cookiesOf(headers: Headers): Headers {
  return new Headers(headers.getSetCookie().map((cookie): [string, string] => ["set-cookie", cookie]));
}
