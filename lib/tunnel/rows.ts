/** What KV holds of tunnels. Everything of one tunnel lies under `["tunnel", id]`, so closing it is deleting a prefix. */
import type { TunnelBounds } from "@/protocol/tunnel.ts";
import type { Principal } from "@/lib/principal.ts";

type Key = Deno.KvKey;

export const tunnelKeys = {
  all: (tunnelId: string): Key => ["tunnel", tunnelId],
  /** TunnelRow. */
  row: (tunnelId: string): Key => ["tunnel", tunnelId, "row"],
  /** TicketRow, by the hash of the ticket; expires. */
  ticket: (tunnelId: string, hash: string): Key => ["tunnel", tunnelId, "ticket", hash],
  /** GrantRow, by the hash of the cookie's value; expires. */
  grant: (tunnelId: string, hash: string): Key => ["tunnel", tunnelId, "grant", hash],
  shares: (tunnelId: string): Key => ["tunnel", tunnelId, "share"],
  /** ShareRow. */
  share: (tunnelId: string, shareId: string): Key => ["tunnel", tunnelId, "share", shareId],
  /** The newest requests that one isolate served: AccessEntry[]. */
  log: (tunnelId: string, isolateId: string): Key => ["tunnel", tunnelId, "log", isolateId],
  logs: (tunnelId: string): Key => ["tunnel", tunnelId, "log"],
  /** A user's tunnels: the value is the runner's id. */
  ofUser: (userId: string): Key => ["tunnels", userId],
  index: (userId: string, tunnelId: string): Key => ["tunnels", userId, tunnelId],
} as const;

export interface TunnelRow {
  tunnelId: string;
  userId: string;
  userName: string;
  runnerId: string;
  port: number;
  host: string | null;
  name: string;
  sessionId: string | null;
  createdAt: number;
  expiresAt: number | null;
  bounds: TunnelBounds;
}

/** Lets its holder in once. */
export interface TicketRow {
  credential: Principal["credential"];
  expiresAt: number;
}

/** A browser that was let in. */
export interface GrantRow {
  /** What the owner's ticket came from: the grant ends with it. Null: it came from a share link. */
  credential: Principal["credential"] | null;
  shareId: string | null;
  /** As the access log names it. */
  who: string;
  expiresAt: number;
}

export interface ShareRow {
  shareId: string;
  name: string;
  /** Of the secret in the link. */
  hash: string;
  /** "scrypt$<salt>$<hash>", hex. */
  passwordHash: string | null;
  createdAt: number;
  expiresAt: number;
}
