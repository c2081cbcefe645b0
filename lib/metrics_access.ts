/** Who may read /metrics. Where a request comes from does not count: behind a proxy everybody comes from loopback. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Principal } from "./principal.ts";

/** With a token, whoever sends it as `Authorization: Bearer`, and nobody else; without one, whoever sends a valid API key. */
export function mayReadMetrics(req: Request, principal: Principal | null, token: string | undefined): boolean {
  if (token === undefined) return principal?.credential.kind === "key";
  const given = /^Bearer (.+)$/i.exec(req.headers.get("authorization") ?? "")?.[1];
  return given !== undefined && timingSafeEqual(digest(given), digest(token));
}

function digest(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}
