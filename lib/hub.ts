/** One isolate's hub: the gateways over one store and one mesh. main.ts composes it. */
import type { Counters } from "@/lib/counters.ts";
import type { Log } from "@/lib/log.ts";
import type { Mesh } from "@/lib/mesh/types.ts";
import type { Authenticator } from "@/lib/principal.ts";
import type { SessionStore } from "@/lib/session/types.ts";

export interface HubConfig {
  /** Where people open the hub, when that is not what the request's Host says (behind a proxy): "https://perch.example". */
  publicUrl?: string;
  /** Further host names that requests may name, without port. IP addresses and localhost always may. */
  hostNames?: readonly string[];
}

export interface HubOptions {
  kv: Deno.Kv;
  mesh: Mesh;
  store: SessionStore;
  auth: Authenticator;
  config: HubConfig;
  version: string;
  isolateId: string;
  log?: Log;
}

export interface Health {
  status: "ok" | "degraded";
  version: string;
  uptimeMs: number;
  isolate: string;
  /** Whether KV answers now. */
  kv: "ok" | "unavailable";
}

export interface Hub extends Omit<HubOptions, "log"> {
  readonly log: Log;
  readonly counters: Counters;
  health(): Promise<Health>;
  /** Tells every isolate that a credential is void: its live sockets are closed (4001). Accounts call it on sign-out and revocation. */
  credentialRevoked(userId: string, credential: { kind: "session" | "key"; id: string }): void;
  /** Closes all sockets (4012) after committing what was received, and disposes every timer. Leaves kv, mesh and store open. */
  close(): Promise<void>;
}
