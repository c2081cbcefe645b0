/** The live lists of a user's sessions and runners, as signals. */
import { type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { hubServer } from "@/protocol/hub.ts";
import { runnersServer } from "@/protocol/runners.ts";
import type { RunnerInfo, SessionInfo } from "@/protocol/shared.ts";
import { hubSocketUrl, LiveSocket, probeHub, type SocketState } from "./live_socket.ts";

/** A list that the hub keeps up to date. `items` is null until the first full list came. */
export interface LiveList<T> {
  items: ReadonlySignal<ReadonlyMap<string, T> | null>;
  state: ReadonlySignal<SocketState>;
  start(): void;
  dispose(): void;
}

/** The list of sessions, and what its socket tells beside it. */
export interface LiveSessions extends LiveList<SessionInfo> {
  /** Changes whenever the user's tunnels may have changed: read them again then. */
  tunnelChanges: ReadonlySignal<number>;
}

/** Sessions by id, from `/ws/hub`. */
export function liveSessions(): LiveSessions {
  const items = signal<ReadonlyMap<string, SessionInfo> | null>(null);
  const state = signal<SocketState>({ kind: "connecting" });
  const tunnelChanges = signal(0);
  let socket: LiveSocket<typeof hubServer> | null = null;
  return {
    items,
    state,
    tunnelChanges,
    start() {
      socket ??= new LiveSocket({
        url: hubSocketUrl("/ws/hub"),
        schemas: hubServer,
        probe: probeHub,
        onState: (next) => state.value = next,
        onMessage(message) {
          // A full list comes after every break, in which hints were missed.
          if (message.type === "sessions" || message.type === "tunnels_changed") tunnelChanges.value++;
          if (message.type === "sessions") items.value = byKey(message.sessions, (session) => session.sessionId);
          else if (message.type === "session_removed") change(items, (map) => map.delete(message.sessionId));
          else if (message.type === "session_added" || message.type === "session_status") {
            change(items, (map) => map.set(message.session.sessionId, message.session));
          }
        },
      });
      socket.start();
    },
    dispose: () => socket?.dispose(),
  };
}

/** Runners by id, from `/ws/runners`. */
export function liveRunners(): LiveList<RunnerInfo> {
  const items = signal<ReadonlyMap<string, RunnerInfo> | null>(null);
  const state = signal<SocketState>({ kind: "connecting" });
  let socket: LiveSocket<typeof runnersServer> | null = null;
  return {
    items,
    state,
    start() {
      socket ??= new LiveSocket({
        url: hubSocketUrl("/ws/runners"),
        schemas: runnersServer,
        probe: probeHub,
        onState: (next) => state.value = next,
        onMessage(message) {
          if (message.type === "runners") items.value = byKey(message.runners, (runner) => runner.runnerId);
          else if (message.type === "runner_removed") change(items, (map) => map.delete(message.runnerId));
          else if (message.type === "runner_added" || message.type === "runner_updated") {
            change(items, (map) => map.set(message.runner.runnerId, message.runner));
          }
        },
      });
      socket.start();
    },
    dispose: () => socket?.dispose(),
  };
}

function byKey<T>(list: readonly T[], key: (item: T) => string): Map<string, T> {
  return new Map(list.map((item) => [key(item), item]));
}

function change<T>(items: Signal<ReadonlyMap<string, T> | null>, edit: (map: Map<string, T>) => void): void {
  const map = new Map(items.value);
  edit(map);
  items.value = map;
}
