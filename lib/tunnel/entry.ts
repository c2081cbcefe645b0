/** The way into a tunnel's origin: a ticket or the secret of a share link becomes a cookie of that host alone. */
import * as z from "zod";
import type { Principal } from "@/lib/principal.ts";
import { tunnelLimits } from "@/protocol/tunnel.ts";
import { grantCookies } from "./headers.ts";
import type { LiveTunnel } from "./live_tunnel.ts";
import { entryPage, plainPage } from "./pages.ts";
import type { GrantRow } from "./rows.ts";
import { isPassword, type TunnelStore } from "./store.ts";

/** The one path of a tunnel's origin that is the hub's. */
export const ENTER_PATH = "/__perch/enter";
const ENTRY_BYTES = 4_096;

/** What the entry page posts: one of both secrets. */
const Entry = z.union([
  z.object({ ticket: z.string().max(64) }),
  z.object({ share: z.string().max(64), password: z.string().max(tunnelLimits.sharePasswordChars).optional() }),
]);

export interface EntryOptions {
  store: TunnelStore;
  /** Whether a credential still counts. */
  isValid(credential: Principal["credential"]): Promise<boolean>;
}

/** Answers a request for the entry page, or what that page posts. `base`: the origin of the tunnel. */
export async function enter(req: Request, live: LiveTunnel, base: string, options: EntryOptions): Promise<Response> {
  if (req.method === "GET" || req.method === "HEAD") return await entryPage();
  if (req.method !== "POST") return plainPage(405, "Not this way", "the entry takes GET and POST");
  if (req.headers.get("origin") !== base || req.headers.get("content-type") !== "application/json") {
    return refusal(403, "this must be posted by the entry page itself");
  }
  const text = await readShort(req);
  const parsed = text === null ? null : Entry.safeParse(parsedJson(text));
  if (!parsed?.success) return refusal(400, "a ticket or a share link is missing; open the tunnel from Perch again");
  const grant = "ticket" in parsed.data
    ? await byTicket(live, parsed.data.ticket, options)
    : await byShare(live, parsed.data.share, parsed.data.password, options);
  if (grant instanceof Response) return grant;
  const secret = await options.store.grant(live.row.tunnelId, grant);
  return new Response(null, {
    status: 204,
    headers: { "set-cookie": grantCookie(secret, grant, req, base), "cache-control": "no-store" },
  });
}

async function byTicket(
  live: LiveTunnel,
  ticket: string,
  { store, isValid }: EntryOptions,
): Promise<GrantRow | Response> {
  const taken = await store.takeTicket(live.row.tunnelId, ticket);
  if (taken === null || !await isValid(taken.credential)) {
    return live.mayAttempt(null)
      ? refusal(403, "this ticket was used already or is too old; open the tunnel from Perch again")
      : tooMany();
  }
  const { credential } = taken;
  return { credential, shareId: null, who: "owner", expiresAt: Date.now() + tunnelLimits.grantMs };
}

/** Only what fails counts as a guess: whoever has a ticket or a link is not locked out by those who guess. */
async function byShare(
  live: LiveTunnel,
  secret: string,
  password: string | undefined,
  { store }: EntryOptions,
): Promise<GrantRow | Response> {
  const share = await store.shareOf(live.row.tunnelId, secret);
  if (share === null) {
    return live.mayAttempt(null) ? refusal(403, "this link is not valid, or not any more") : tooMany();
  }
  if (share.passwordHash !== null) {
    if (password === undefined) return refusal(401, "this link needs its password", true);
    if (!live.mayAttempt(share.shareId)) return tooMany();
    if (!await isPassword(password, share.passwordHash)) {
      live.refused("POST", ENTER_PATH, share.name, 401);
      return refusal(401, "the password is wrong", true);
    }
  }
  const expiresAt = Math.min(share.expiresAt, Date.now() + tunnelLimits.grantMs);
  return { credential: null, shareId: share.shareId, who: share.name || "share link", expiresAt };
}

/** The admission that a request's cookie stands for; null: it has none that counts. */
export async function grantFrom(req: Request, live: LiveTunnel): Promise<GrantRow | null> {
  for (const pair of req.headers.get("cookie")?.split(";") ?? []) {
    const separator = pair.indexOf("=");
    if (!grantCookies.includes(pair.slice(0, Math.max(separator, 0)).trim())) continue;
    const grant = await live.grantOf(pair.slice(separator + 1).trim());
    if (grant !== null) return grant;
  }
  return null;
}

/**
 * Host-only and HttpOnly. On a page of its own it is Lax; in the frame beside a timeline, which is another site's, it must be
 * None, and then belongs to that pair of sites alone (Partitioned).
 */
function grantCookie(secret: string, grant: GrantRow, req: Request, base: string): string {
  const isHttps = base.startsWith("https:");
  const maxAgeS = Math.max(1, Math.floor((grant.expiresAt - Date.now()) / 1_000));
  const isFramed = req.headers.get("x-perch-framed") === "1";
  const name = isHttps ? "__Host-perch_tunnel" : "perch_tunnel";
  const place = isFramed ? "SameSite=None; Secure; Partitioned" : isHttps ? "SameSite=Lax; Secure" : "SameSite=Lax";
  return `${name}=${secret}; Path=/; Max-Age=${maxAgeS}; HttpOnly; ${place}`;
}

/** At most ENTRY_BYTES of a body; null when it is longer. */
async function readShort(req: Request): Promise<string | null> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of req.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > ENTRY_BYTES) return null;
    chunks.push(chunk);
  }
  return await new Blob(chunks as BlobPart[]).text();
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function tooMany(): Response {
  return refusal(429, "too many attempts; wait a minute");
}

function refusal(status: number, message: string, needsPassword = false): Response {
  return Response.json({ error: { message, ...(needsPassword ? { needsPassword } : {}) } }, {
    status,
    headers: { "cache-control": "no-store" },
  });
}
