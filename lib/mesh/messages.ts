/** What isolates say to one another, and what the mesh itself tells its subscribers. */
import type { MeshPayload, Topic } from "./types.ts";

/** Published to subscribers when messages of their topic may have been lost on the way: read the state again. */
export interface MeshGap {
  type: "mesh_gap";
}
/** Published locally on topic "hub" when an isolate is gone: what it held (producers, runners) is no longer connected. */
export interface MeshIsolateGone {
  type: "mesh_isolate_gone";
  isolateId: string;
}

export function isMeshGap(payload: MeshPayload): payload is MeshGap {
  return typeof payload === "object" && payload !== null && (payload as { type?: unknown }).type === "mesh_gap";
}

/** Messages between isolates, as JSON arrays; the first element names them. */
export type Message =
  | ["hello", Topic[], boolean] // a (re)joining isolate: its interest, and whether it was here before
  | ["welcome", Topic[]]
  | ["sub", Topic, number] // answered by "known"
  | ["known", number]
  | ["unsub", Topic]
  | ["pub", Topic, MeshPayload]
  | ["gap", Topic[]]
  | ["call", number, string, MeshPayload]
  | ["reply", number, boolean, MeshPayload]
  | ["read", number] // bytes read from you in all
  | ["bye"];

export function encode(message: Message): string {
  return JSON.stringify(message);
}
