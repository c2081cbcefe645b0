/**
 * How a late or returning viewer catches up: what KV holds, then what its host sent and is not committed, then the text of
 * open entries. Read while live frames are being collected, and merged by seq, so that nothing is missed or doubled.
 */
import type { Changes, Connected, Cursor, Delta, Event, Snapshot } from "@/protocol/mod.ts";
import { decideAttach, ReceiverLog } from "@/protocol/log/mod.ts";
import { limits, parseFrame, relayClient } from "@/protocol/mod.ts";
import { MeshError } from "@/lib/mesh/types.ts";
import { withoutFiles } from "@/lib/session/inbox.ts";
import { redeliver } from "./commands.ts";
import { callIsolate, type GatewayContext } from "./context.ts";
import type { LiveState, SessionFrame } from "./topics.ts";

/** How long frames of committed records may take to arrive from the host's isolate. */
const CATCH_UP_MS = 2_000;
/** How long the host's isolate may take to say what it holds. One that does not is dead as a rule, and its lease not over yet. */
const LIVE_STATE_MS = 3_000;
/** An attach is begun again this often when the log was replaced or the host moved meanwhile. */
export const MAX_ATTEMPTS = 3;

/** Frames that came while a viewer attaches, and a wake-up for whoever waits for them. */
export class FrameBuffer {
  frames: SessionFrame[] = [];
  #chars = 0;
  #wake: (() => void) | null = null;

  /** False: it is full, the attach must begin again. */
  push(frame: SessionFrame): boolean {
    this.frames.push(frame);
    this.#chars += frame.text.length;
    this.#wake?.();
    return this.#chars <= limits.viewerBufferedBytes;
  }

  take(): SessionFrame[] {
    const frames = this.frames;
    this.frames = [];
    return frames;
  }

  /** Resolves at the next frame: true, or false when `timeoutMs` passed without one. */
  next(timeoutMs: number): Promise<boolean> {
    if (this.frames.length > 0) return Promise.resolve(true);
    return new Promise((resolve) => {
      const settle = (came: boolean) => {
        clearTimeout(timer);
        this.#wake = null;
        resolve(came);
      };
      const timer = setTimeout(() => settle(false), Math.max(0, timeoutMs));
      this.#wake = () => settle(true);
    });
  }
}

export interface AttachRequest {
  sessionId: string;
  userId: string;
  generation: number;
  cursor: Cursor | undefined;
  /** Frames of the session that arrive while this runs. */
  buffer: FrameBuffer;
  /** Sends a message of the catch-up; resolves when more may be sent, false when the viewer is gone. */
  send(message: Connected | Changes): Promise<boolean>;
  /** As `send`, for the JSON of a message. */
  sendJson(json: string): Promise<boolean>;
}

export type AttachResult =
  /**
   * `complete` gives what is to be sent after the content, up to the last frame in the buffer; null: begin again. It is to
   * be called in the same step in which the viewer goes live, so that no frame can arrive in between.
   */
  | { outcome: "attached"; complete(): { cursor: Cursor; tail: (Event | Delta)[] } | null }
  | { outcome: "not_found" }
  /** The log changed under the attach: begin again. */
  | { outcome: "again" }
  | { outcome: "gone" };

/** Runs one attempt. Throws what KV throws. */
export async function attach(ctx: GatewayContext, request: AttachRequest): Promise<AttachResult> {
  const { sessionId, userId, generation, cursor, buffer, send } = request;
  const { store } = ctx;
  const [live, info, inbox] = await Promise.all([
    liveStateOf(ctx, sessionId),
    store.sessions.info(userId, sessionId),
    store.inbox.pending(`session:${sessionId}`),
  ]);
  if (info === null) return { outcome: "not_found" };
  const committed = await store.log.head(sessionId);
  if (committed === null) return { outcome: "not_found" };
  if (live !== null && live.epoch !== committed.epoch) return { outcome: "again" };

  if (live !== null) redeliver(ctx, `session:${sessionId}`, inbox);

  const mirror = new Mirror(sessionId, live, { epoch: committed.epoch, seq: committed.ackedSeq });
  mirror.take(buffer.take());
  const head = { epoch: committed.epoch, seq: Math.max(committed.ackedSeq, mirror.lastSeq) };
  const verdict = decideAttach(cursor, head, committed.trimmedSeq);
  const connected: Connected = {
    type: "connected",
    sessionId,
    generation,
    verdict,
    cursor: head,
    info,
    inbox: inbox.slice(0, limits.inboxCommands).map(({ op, command, from, at }) => ({
      type: "command_status",
      op,
      sessionId,
      status: "accepted",
      command: withoutFiles(command),
      from,
      at,
    })),
  };
  if (!await send(connected)) return { outcome: "gone" };

  let reached = cursor?.seq ?? 0;
  /** Seq of the newest version of an entry that was sent; it may be newer than the cursor of its page. */
  let newest = 0;
  if (verdict === "snapshot") {
    const page = await store.log.lastPage(sessionId);
    if (page.cursor.epoch !== head.epoch) return { outcome: "again" };
    if (!await request.sendJson(snapshotJson(ctx, { type: "snapshot", sessionId, generation }, page))) {
      return { outcome: "gone" };
    }
    reached = page.cursor.seq;
    newest = newestSeq(page.entries);
  } else if (verdict === "resume") {
    for (let more = true; more;) {
      const { trimmedSeq, ...chunk } = reached >= committed.ackedSeq
        ? { cursor: { epoch: head.epoch, seq: reached }, meta: null, entries: [], more: false, trimmedSeq: 0 }
        : await store.log.changes(sessionId, reached);
      if (chunk.cursor.epoch !== head.epoch || trimmedSeq > reached) return { outcome: "again" };
      const changes: Changes = { type: "changes", sessionId, generation, ...chunk };
      if (!await send(changes)) return { outcome: "gone" };
      reached = Math.max(reached, chunk.cursor.seq);
      newest = Math.max(newest, newestSeq(chunk.entries));
      more = chunk.more;
    }
  }
  if (live !== null) {
    // KV may be ahead of the frames that are still on their way here: open text must be that of the same position.
    const deadlineMs = performance.now() + CATCH_UP_MS;
    const behind = verdict === "ahead" ? 0 : Math.max(reached, newest);
    mirror.take(buffer.take());
    while (mirror.lastSeq < behind) {
      if (!await buffer.next(deadlineMs - performance.now())) return { outcome: "again" };
      mirror.take(buffer.take());
    }
  }
  return {
    outcome: "attached",
    complete() {
      mirror.take(buffer.take());
      if (mirror.isBroken) return null;
      const tail = [...mirror.eventsAfter(reached), ...mirror.openDeltas()];
      return { cursor: { epoch: head.epoch, seq: Math.max(reached, mirror.lastSeq) }, tail };
    },
  };
}

/** The JSON of a snapshot. Its page, which is nearly all of it, is encoded once for all viewers that got the same. */
function snapshotJson(
  ctx: GatewayContext,
  head: Pick<Snapshot, "type" | "sessionId" | "generation">,
  page: Omit<Snapshot, keyof typeof head>,
): string {
  let rest = ctx.pageJson.get(page);
  if (rest === undefined) {
    rest = JSON.stringify(page);
    ctx.pageJson.set(page, rest);
  }
  return `${JSON.stringify(head).slice(0, -1)},${rest.slice(1)}`;
}

/** What the host's isolate knows beyond KV; null when no host is connected, or its isolate is gone. */
export async function liveStateOf(ctx: GatewayContext, sessionId: string): Promise<LiveState | null> {
  // KV decides who holds the host: a socket here may be an older one that does not know it yet.
  const isolateId = await ctx.store.log.producerIsolate(sessionId);
  if (isolateId === ctx.mesh.isolateId) return ctx.liveSessions.get(sessionId)?.liveState() ?? null;
  if (isolateId === null || !ctx.mesh.isLive(isolateId)) return null;
  try {
    return await callIsolate(ctx.mesh, isolateId, "session_live", { sessionId }, { timeoutMs: LIVE_STATE_MS });
  } catch (error) {
    if (error instanceof MeshError && error.code === "gone") return null;
    throw error;
  }
}

/** The host's live state as it stands here after the frames that arrived. */
class Mirror {
  readonly #log: ReceiverLog;
  /** A frame did not continue what is here. */
  isBroken = false;

  constructor(sessionId: string, live: LiveState | null, committed: Cursor) {
    this.#log = new ReceiverLog({
      sessionId,
      epoch: live?.epoch ?? committed.epoch,
      ackedSeq: live?.ackedSeq ?? committed.seq,
    });
    for (const event of live?.uncommitted ?? []) this.#log.acceptEvent(event);
    for (const delta of live?.open ?? []) this.#log.acceptDelta(delta);
  }

  get lastSeq(): number {
    return this.#log.lastSeq;
  }

  take(frames: readonly SessionFrame[]): void {
    const messages: (Event | Delta)[] = [];
    for (const frame of frames) {
      for (const message of parseFrame(relayClient, frame.text).messages) {
        if (message.type === "event" || message.type === "delta") messages.push(message);
      }
    }
    // Up to its last known record all of it is in the live state already; an older delta must not be taken for open text.
    const known = messages.findLastIndex((message) =>
      message.type === "event" && message.epoch === this.#log.epoch && message.seq <= this.#log.lastSeq
    );
    for (const message of messages.slice(known + 1)) {
      const verdict = message.type === "event" ? this.#log.acceptEvent(message) : this.#log.acceptDelta(message);
      if (verdict === "gap" || verdict === "stale") this.isBroken = true;
    }
  }

  eventsAfter(seq: number): Event[] {
    return this.#log.uncommitted.filter((event) => event.seq > seq);
  }

  openDeltas(): Delta[] {
    return this.#log.openDeltas();
  }
}

function newestSeq(entries: readonly { seq: number }[]): number {
  return entries.reduce((newest, entry) => Math.max(newest, entry.seq), 0);
}
