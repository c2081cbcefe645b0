import assert from "node:assert/strict";
import fc from "fast-check";
import type { RunnerInfo, SessionInfo } from "@/protocol/shared.ts";
import { attentionFirst, groupSessions, recentFolders } from "./grouping.ts";

function session(part: Partial<SessionInfo>): SessionInfo {
  return {
    sessionId: "s",
    shareUrl: "/session/s",
    cwd: "/src",
    sessionName: null,
    agent: { id: "pi", name: "pi" },
    model: null,
    runnerId: "r",
    runnerName: "box",
    startedAt: 0,
    lastActivityAt: 0,
    isActive: true,
    activity: "idle",
    attention: 0,
    unread: false,
    viewerCount: 0,
    ended: null,
    isResumable: false,
    parentSessionId: null,
    ...part,
  };
}
function runner(part: Partial<RunnerInfo>): RunnerInfo {
  return {
    runnerId: "r",
    name: "box",
    roots: ["/"],
    platform: "linux",
    version: "0",
    agents: [],
    sessionCount: 0,
    isConnected: true,
    lastSeenAt: 0,
    warnings: [],
    ...part,
  };
}

const anySession = fc.record({
  sessionId: fc.uuid(),
  cwd: fc.constantFrom("/a", "/b", "/c"),
  runnerId: fc.constantFrom("r", "q", null),
  startedAt: fc.nat(1_000),
  lastActivityAt: fc.nat(1_000),
  activity: fc.constantFrom("working", "idle", "waiting", "ended" as const),
}).map((part) => session(part as Partial<SessionInfo>));

Deno.test("every session is in exactly one group, whatever the order they come in", () => {
  fc.assert(
    fc.property(fc.uniqueArray(anySession, { selector: (item) => item.sessionId }), (sessions) => {
      const runners = [runner({}), runner({ runnerId: "q", name: "another", isConnected: false })];
      const groups = groupSessions(sessions, runners);
      const shown = groups.flatMap((group) => group.folders.flatMap((folder) => [...folder.open, ...folder.ended]));
      assert.deepEqual(shown.map((item) => item.sessionId).sort(), sessions.map((item) => item.sessionId).sort());
      assert.deepEqual(groupSessions([...sessions].reverse(), runners), groups);
    }),
  );
});

Deno.test("activity alone does not move a row", () => {
  const a = session({ sessionId: "a", startedAt: 2, lastActivityAt: 10 });
  const b = session({ sessionId: "b", startedAt: 1, lastActivityAt: 20 });
  const order = (list: SessionInfo[]) => groupSessions(list, [])[0]!.folders[0]!.open.map((item) => item.sessionId);
  assert.deepEqual(order([a, b]), ["a", "b"]);
  assert.deepEqual(order([a, { ...b, lastActivityAt: 99 }]), ["a", "b"]);
});

Deno.test("what waits longest comes first; the dead do not wait", () => {
  const list = [
    session({ sessionId: "late", attention: 1, lastActivityAt: 9 }),
    session({ sessionId: "early", activity: "waiting", lastActivityAt: 1 }),
    session({ sessionId: "idle" }),
    session({ sessionId: "dead", attention: 1, activity: "ended" }),
  ];
  assert.deepEqual(attentionFirst(list).map((item) => item.sessionId), ["early", "late"]);
});

Deno.test("recent folders are a runner's own, each once", () => {
  const list = [
    session({ cwd: "/a", startedAt: 1 }),
    session({ cwd: "/b", startedAt: 3 }),
    session({ cwd: "/a", startedAt: 4 }),
    session({ cwd: "/z", startedAt: 5, runnerId: "q" }),
  ];
  assert.deepEqual(recentFolders(list, "r"), ["/a", "/b"]);
});
