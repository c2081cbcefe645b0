/** Writes to a session's meta only what differs: agents repeat themselves, and every patch is a durable record. */
import type { MetaPatch, SessionMeta } from "@/protocol/mod.ts";
import type { SessionWriter } from "./agent.ts";

/** The fields of `patch` that would change `meta`. Pure. */
export function changedFields(meta: SessionMeta, patch: MetaPatch): MetaPatch {
  const known: MetaPatch = meta;
  return Object.fromEntries(
    Object.entries(patch).filter(([name, value]) =>
      JSON.stringify(known[name as keyof MetaPatch]) !== JSON.stringify(value)
    ),
  );
}

/** Patches the fields that differ; nothing when none does. */
export function patchChanged(session: SessionWriter, patch: MetaPatch): void {
  const changed = changedFields(session.meta(), patch);
  if (Object.keys(changed).length > 0) session.patchMeta(changed);
}
