/** Bringing a session that ended to its end on the hub, also what a dead host left: its journal's tail goes to the hub, its open entries are closed, its end is told. */
import type { SessionEnd } from "@/protocol/mod.ts";
import type { SessionDir } from "./data_dir.ts";
import { FileLock } from "./file_lock.ts";
import { HostWriter } from "./host_writer.ts";
import type { HubTarget } from "./hub_socket.ts";
import { Journal } from "./journal.ts";
import type { Log } from "./log.ts";
import { RelayLink } from "./relay_link.ts";
import { type EndedFile, readSessionFile, writeEndedFile } from "./session_file.ts";
import { SessionLog } from "./session_log.ts";

/** Longest time that a session that ended waits for the hub to commit its last records. The daemon sees to the rest later. */
const SETTLE_MS = 5_000;
/** Longest time that one dead session may keep the next one waiting. */
const SETTLE_DEAD_MS = 30_000;

/** Tells the hub of the end and waits, bounded, until it has committed everything. */
export async function settle(log: SessionLog, link: RelayLink, end: SessionEnd, maxMs = SETTLE_MS): Promise<boolean> {
  const deadline = AbortSignal.timeout(maxMs);
  link.end(end);
  const isSettled = await log.settled(deadline) && await link.endSent(deadline);
  await link.finish();
  return isSettled;
}

export interface SettleOptions {
  target(): HubTarget;
  write: Log;
  maxMs?: number;
}

/**
 * Brings a dead session's journal to the hub. Resolves with what is then in ended.json, or null when somebody holds the session (a host
 * was started meanwhile). What cannot be delivered now stays unsettled, for the next time the hub can be reached.
 */
export async function settleDead(dir: SessionDir, end: SessionEnd, options: SettleOptions): Promise<EndedFile | null> {
  using lock = FileLock.tryTake(dir.lock);
  if (!lock) return null;
  const session = readSessionFile(dir);
  const journal = Journal.open(dir.journal, { warn: (message) => options.write("warning", message) });
  await using log = new SessionLog({ sessionId: session.sessionId, journal });
  const writer = new HostWriter(
    log,
    () => ({ isStarted: true, isTurnRunning: false, isEnded: true }),
    Date.now,
    () => {},
  );
  if (log.meta().ended === null) {
    writer.closeOpenEntries();
    if (end.reason === "lost") writer.notice("error", "the session's process died", end.detail);
    writer.refresh({ ended: end, isCompacting: false, retry: null });
  }
  let isDeleted = false;
  const refused = Promise.withResolvers<boolean>();
  using link = new RelayLink({
    sessionId: session.sessionId,
    log,
    write: options.write,
    describe: () => ({
      runnerId: session.runnerId,
      cwd: session.cwd,
      sessionName: writer.givenTitle(),
      agent: session.agent,
      startedAt: session.startedAt,
      ended: end,
    }),
    target: options.target,
    onCommand: (command) => {
      const known = journal.index.ops.get(command.op);
      return Promise.resolve({
        type: "command_result",
        op: command.op,
        ...(known ?? { status: "rejected", reason: "the session has ended; resume it first" }),
      });
    },
    onDeleted: () => {
      isDeleted = true;
      refused.resolve(false);
    },
    onRefused: () => refused.resolve(false),
  });
  link.connect();
  const finalEnd = log.meta().ended ?? end;
  const settled = settle(log, link, finalEnd, options.maxMs ?? SETTLE_DEAD_MS);
  const isSettled = await Promise.race([settled, refused.promise]);
  const ended: EndedFile = { end: finalEnd, isSettled: isSettled || isDeleted, isDeleted };
  writeEndedFile(dir, ended);
  return ended;
}
