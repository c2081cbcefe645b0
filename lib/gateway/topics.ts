/** What travels between isolates on the mesh's topics and calls. */
import type { TerminalOrder } from "@/protocol/terminal.ts";
import type { ExposePort, UnexposePort } from "@/protocol/tunnel.ts";
import type { CommandStatus, DeliveredCommand, Delta, Event } from "@/protocol/mod.ts";
import type { MeshPayload } from "@/lib/mesh/types.ts";
import type { Reply } from "./questions.ts";
import type { IsolateMetrics } from "@/lib/metrics_text.ts";

/** Messages may have been lost: whoever follows the topic must read its state again. */
export interface MeshGap {
  type: "mesh_gap";
}

/** Whether the mesh says, on the topic "hub", that an isolate is gone. */
export function isIsolateGone(payload: MeshPayload): boolean {
  return typeof payload === "object" && payload !== null &&
    (payload as { type?: unknown }).type === "mesh_isolate_gone";
}

/** A host's frame on its way to viewers, as it came. */
export interface SessionFrame {
  type: "frame";
  epoch: number;
  /** First and last seq of the events in it; both 0 when it holds deltas alone. */
  from: number;
  to: number;
  /** Messages in it. */
  count: number;
  text: string;
}

/** On `session:<id>`. */
export type SessionTopicMessage =
  | SessionFrame
  /** A host registered; its log has this epoch. */
  | { type: "registered"; epoch: number }
  /** What lists show of the session changed. */
  | { type: "status" }
  | { type: "command_status"; status: CommandStatus }
  | { type: "deleted" }
  | MeshGap;

/** On `user:<id>`. */
export type UserTopicMessage =
  | { type: "session_changed"; sessionId: string }
  | { type: "runner_changed"; runnerId: string }
  | { type: "credential_revoked"; kind: "session" | "key"; id: string }
  /** A tunnel of the user was opened, changed, shared or closed. */
  | { type: "tunnels_changed" }
  | MeshGap;

/** What the isolate that holds a session's host knows beyond KV: answer to the call `session_live`. Null: it has no such host. */
export interface LiveState {
  epoch: number;
  ackedSeq: number;
  /** Accepted and not committed, ascending by seq from ackedSeq + 1. */
  uncommitted: Event[];
  /** The text of open entries that no record holds yet. */
  open: Delta[];
}

/** Calls between isolates, by name: their parameters and answers. */
export interface MeshCalls {
  session_live: { params: { sessionId: string }; answer: LiveState | null };
  /** Hands a stored command to the session host or runner here. False: it is not connected here. */
  deliver: { params: { target: string; command: DeliveredCommand }; answer: boolean };
  /** A newer registration of a session's host exists: the socket of an older one is to be closed. */
  session_replaced: { params: { sessionId: string; producerEpoch: number }; answer: null };
  runner_replaced: { params: { runnerId: string; producerEpoch: number }; answer: null };
  /** The session was deleted: its host is told to stop. */
  session_deleted: { params: { sessionId: string }; answer: null };
  runner_deleted: { params: { runnerId: string }; answer: null };
  /** What the isolate measured, for the page of /metrics. */
  metrics: { params: null; answer: IsolateMetrics };
  /** Asks a runner something; `error` is for the person who asked. */
  runner_request: {
    params: { runnerId: string; message: RunnerQuestion };
    answer: Reply;
  };
  /** Asks a session's host for a page of its journal (HistoryPage). */
  session_history: { params: { sessionId: string; before: number; limit: number }; answer: Reply };
  /** A session was deleted: its runner is to remove what it keeps of it. */
  runner_session_deleted: { params: { runnerId: string; sessionId: string }; answer: null };
}

export type RunnerQuestion =
  | { type: "list_files"; path: string; prefix?: string; directoriesOnly?: boolean }
  | { type: "list_agents" }
  | { type: "load_history"; sessionId: string; before: number; limit: number }
  | { type: "terminal_request"; order: TerminalOrder }
  | Omit<ExposePort, "requestId">
  | Omit<UnexposePort, "requestId">;
