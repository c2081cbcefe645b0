/** better-auth, set up for Perch: email and password accounts, cookie sessions, nothing else. */
import { betterAuth } from "better-auth/minimal";
import { hashPassword, verifyPassword } from "better-auth/crypto";
import { PASSWORD_MAX, PASSWORD_MIN } from "@/protocol/mod.ts";
import { kvAdapter } from "./adapter.ts";
import { Gate } from "./gate.ts";
import { sha256 } from "./secrets.ts";
import type { Tables } from "./tables.ts";

/** A session ends this long after its last refresh … */
const SESSION_SECONDS = 30 * 24 * 60 * 60;
/** … and `get-session` refreshes it when it is older than this. */
const SESSION_REFRESH_SECONDS = 24 * 60 * 60;
/** Carries the peer's address to better-auth, which otherwise believes `X-Forwarded-For`. Clients cannot set it. */
export const PEER_HEADER = "x-perch-peer";
const HASHES_AT_ONCE = 4;
const HASHES_WAITING_MAX = 64;

export type Identity = ReturnType<typeof createIdentity>;

/** Sets up better-auth. `baseUrl` decides whether cookies are `Secure`. */
export function createIdentity(tables: Tables, options: { secret: string; baseUrl: string }) {
  const gate = new Gate(HASHES_AT_ONCE, HASHES_WAITING_MAX);
  const password = {
    hash: (clear: string) => gate.run(() => hashPassword(clear)),
    verify: (pair: { hash: string; password: string }) => gate.run(() => verifyPassword(pair)),
  };
  // Cookies are per host, not per port: two hubs on one machine must not overwrite each other's.
  const cookiePrefix = `perch-${sha256(options.secret).slice(0, 8)}`;
  const auth = betterAuth({
    appName: "Perch",
    baseURL: options.baseUrl,
    basePath: "/api/auth",
    secret: options.secret,
    database: kvAdapter(tables),
    telemetry: { enabled: false },
    // What goes wrong reaches the caller as a typed error; better-auth would also print "User not found" for each typo.
    logger: { disabled: true },
    emailAndPassword: {
      enabled: true,
      // Accounts are made by accounts.ts, in one commit with what allows them.
      disableSignUp: true,
      minPasswordLength: PASSWORD_MIN,
      // Counted in UTF-16 units there, in code points by our rules.
      maxPasswordLength: 2 * PASSWORD_MAX,
      password,
    },
    session: { expiresIn: SESSION_SECONDS, updateAge: SESSION_REFRESH_SECONDS, freshAge: 0 },
    // Ours count in KV and do not trust proxy headers (rate_limit.ts).
    rateLimit: { enabled: false },
    advanced: {
      cookiePrefix,
      useSecureCookies: options.baseUrl.startsWith("https:"),
      defaultCookieAttributes: { httpOnly: true, sameSite: "lax", path: "/" },
      ipAddress: { ipAddressHeaders: [PEER_HEADER] },
    },
  });
  return { auth, password, sessionCookie: sessionCookieName(cookiePrefix, options.baseUrl) };
}

function sessionCookieName(prefix: string, baseUrl: string): string {
  return `${baseUrl.startsWith("https:") ? "__Secure-" : ""}${prefix}.session_token`;
}

/** The value of a cookie of a request, as sent; null when there is none. */
export function cookieOf(req: Request, name: string): string | null {
  for (const pair of req.headers.get("cookie")?.split(";") ?? []) {
    const separator = pair.indexOf("=");
    if (separator > 0 && pair.slice(0, separator).trim() === name) return pair.slice(separator + 1).trim();
  }
  return null;
}
