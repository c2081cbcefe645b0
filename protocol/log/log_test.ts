/**
 * The property that everything rests on: for any interleaving of writes, breaks, duplicates, late frames, commits, and
 * crashes of host and hub, each viewer ends up with exactly what the host wrote, once, in order.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Delta,
  type Entry,
  type Event,
  initialMeta,
  isOpen,
  patchMeta,
  type SessionMeta,
  type WireEntry,
} from "../mod.ts";
import { decideAttach, ProducerLog, ReceiverLog, SessionTimeline, type TimelineMessage } from "./mod.ts";

const sessionId = "s1";
const pageSize = 4;

interface HostEntry {
  id: string;
  index: number;
  status: "running" | "completed" | "cancelled";
  text: string;
  /** Text length in its last durable record. */
  recorded: number;
}

/** A host: journal (records, texts) survives a crash; the producer's numbers do not. */
class Host {
  entries: HostEntry[] = [];
  records: Pick<Event, "seq" | "entry" | "meta">[] = [];
  meta: SessionMeta = initialMeta();
  producer = new ProducerLog(0, { maxRecords: 3, maxBytes: 2_000 });
  epoch = 0;
  out: (Event | Delta)[] | null = null;

  #record(change: { entry: WireEntry } | { meta: Partial<SessionMeta> }) {
    this.records.push({ seq: this.producer.append(), ...change });
    this.pump();
  }
  #upsert(entry: HostEntry) {
    entry.recorded = entry.text.length;
    this.#record({
      entry: {
        id: entry.id,
        index: entry.index,
        kind: "agent_message",
        head: { status: entry.status, startedAt: 0, textLength: entry.text.length },
        body: { text: entry.text },
      },
    });
  }
  open() {
    const entry: HostEntry = {
      id: `e${this.entries.length}`,
      index: this.entries.length,
      status: "running",
      text: "",
      recorded: 0,
    };
    this.entries.push(entry);
    this.#upsert(entry);
  }
  append(pick: number, text: string) {
    const open = this.entries.filter((entry) => entry.status === "running");
    const entry = open[pick % open.length];
    if (!entry) return;
    const at = entry.text.length;
    entry.text += text;
    if (this.out && this.producer.isCaughtUp) {
      this.out.push({ type: "delta", sessionId, epoch: this.epoch, entryId: entry.id, at, text });
    } else this.unsentDeltas = true;
  }
  unsentDeltas = false;
  change(pick: number, close: boolean) {
    const open = this.entries.filter((entry) => entry.status === "running");
    const entry = open[pick % open.length];
    if (!entry) return;
    if (close) entry.status = "completed";
    this.#upsert(entry);
  }
  patch(title: string) {
    this.meta = patchMeta(this.meta, { title });
    this.#record({ meta: { title } });
  }
  registered(epoch: number, ackedSeq: number, out: (Event | Delta)[]) {
    this.epoch = epoch;
    this.out = out;
    assert.equal(this.producer.register(ackedSeq), "resend");
    this.unsentDeltas = true;
    this.pump();
  }
  acked(seq: number) {
    assert.ok(this.producer.ack(seq));
    this.pump();
  }
  pump() {
    if (!this.out) return;
    for (
      let range;
      (range = this.producer.takeSendable((seq) => JSON.stringify(this.records[seq - 1]).length)) !== null;
    ) {
      for (let seq = range.from; seq <= range.to; seq++) {
        this.out.push({ type: "event", sessionId, epoch: this.epoch, ...this.records[seq - 1]! });
      }
    }
    if (this.producer.isCaughtUp && this.unsentDeltas) {
      this.unsentDeltas = false;
      for (const entry of this.entries) {
        if (entry.status !== "running" || entry.text.length === entry.recorded) continue;
        const at = entry.recorded;
        this.out.push({
          type: "delta",
          sessionId,
          epoch: this.epoch,
          entryId: entry.id,
          at,
          text: entry.text.slice(at),
        });
      }
    }
  }
  /** Each entry as of its last record. */
  journal(): Entry[] {
    const newest = new Map<number, Entry>();
    for (const { seq, entry } of this.records) if (entry) newest.set(entry.index, { ...entry, seq });
    return [...newest.values()].sort((a, b) => a.index - b.index);
  }
  disconnect() {
    this.out = null;
    this.producer.disconnect();
  }
  crash() {
    this.disconnect();
    this.producer = new ProducerLog(this.records.length, { maxRecords: 3, maxBytes: 2_000 });
    for (const entry of this.entries) {
      if (entry.status !== "running") continue;
      entry.status = "cancelled";
      this.#upsert(entry);
    }
  }
}

/** A hub: the committed log survives a crash, the receiver does not. */
class Hub {
  acked = 0;
  entries = new Map<string, Entry>();
  meta = initialMeta();
  metaSeq = 0;
  /** Entries below this index were trimmed; their newest change was at `trimmedSeq`. */
  oldest = 0;
  trimmedSeq = 0;
  receiver: ReceiverLog | null = null;
  readonly epoch = 7;

  register() {
    this.receiver = new ReceiverLog({ sessionId, epoch: this.epoch, ackedSeq: this.acked });
  }
  commit(count: number) {
    const events = this.receiver?.uncommitted.slice(0, count) ?? [];
    for (const event of events) {
      assert.equal(event.seq, this.acked + 1);
      if (event.entry && event.entry.index < this.oldest) this.trimmedSeq = event.seq;
      else if (event.entry) this.entries.set(event.entry.id, { ...event.entry, seq: event.seq });
      if (event.meta) {
        this.meta = patchMeta(this.meta, event.meta);
        this.metaSeq = event.seq;
      }
      this.acked = event.seq;
    }
    this.receiver?.commit(this.acked);
  }
  /** Retention: drops the oldest committed entries. */
  trim(count: number) {
    for (const entry of [...this.entries.values()].sort((a, b) => a.index - b.index).slice(0, count)) {
      this.entries.delete(entry.id);
      this.oldest = entry.index + 1;
      this.trimmedSeq = Math.max(this.trimmedSeq, entry.seq);
    }
  }
  /** Committed state and what the receiver holds beyond it. */
  view() {
    const entries = new Map(this.entries);
    let { meta, metaSeq, acked: seq } = this;
    for (const event of this.receiver?.uncommitted ?? []) {
      if (event.entry) entries.set(event.entry.id, { ...event.entry, seq: event.seq });
      if (event.meta) [meta, metaSeq] = [patchMeta(meta, event.meta), event.seq];
      seq = event.seq;
    }
    return { entries: [...entries.values()].sort((a, b) => a.index - b.index), meta, metaSeq, seq };
  }
  attach(request: ReturnType<SessionTimeline["attach"]>): TimelineMessage[] {
    const { entries, meta, metaSeq, seq } = this.view();
    const cursor = { epoch: this.epoch, seq };
    const verdict = decideAttach(request.cursor, cursor, this.trimmedSeq);
    const { generation } = request;
    const messages: TimelineMessage[] = [
      { type: "connected", sessionId, generation, verdict, cursor, info: {} as never, inbox: [] },
    ];
    if (verdict === "snapshot") {
      messages.push({
        type: "snapshot",
        sessionId,
        generation,
        cursor,
        meta,
        entries: entries.filter(({ index }) => index >= this.oldest).slice(-pageSize),
        oldestIndex: this.oldest,
      });
    } else if (verdict === "resume") {
      const after = request.cursor!.seq;
      const changed = entries.filter((entry) => entry.seq > after).sort((a, b) => a.seq - b.seq);
      do {
        const chunk = changed.splice(0, 2);
        const more = changed.length > 0;
        const end = more ? chunk.at(-1)!.seq : seq;
        const metaPart = metaSeq > after && metaSeq <= end || !more ? meta : null;
        messages.push({
          type: "changes",
          sessionId,
          generation,
          cursor: { epoch: this.epoch, seq: end },
          meta: metaPart,
          entries: chunk,
          more,
        });
      } while (changed.length > 0);
    }
    return [...messages, ...this.receiver?.openDeltas() ?? []];
  }
}

/** A viewer whose socket is a queue; a page is read from the log at once but may be sent after newer events. */
class Viewer {
  timeline = new SessionTimeline(sessionId);
  inbox: TimelineMessage[] = [];
  seen: TimelineMessage[] = [];
  /** Pages that were read from the log and not sent yet. */
  pages: TimelineMessage[] = [];
  pageDeltas: () => Delta[] = () => [];
  isAttached = false;
  hasLost = false;
  generation = 0;
  attach(hub: Hub) {
    this.isAttached = true;
    this.hasLost = false;
    this.inbox = hub.attach(this.timeline.attach(++this.generation));
  }
  deliver(hub: Hub, message: TimelineMessage) {
    this.seen.push(message);
    if (this.timeline.apply(message).needsAttach) this.attach(hub);
  }
  /** From the hub, or below what it holds from the host's journal; while the host is away there is no page. */
  loadOlder(hub: Hub, host: Host) {
    const before = this.timeline.firstIndex;
    const isTrimmed = before <= hub.oldest;
    if (isTrimmed && !host.out) return;
    const all = isTrimmed ? host.journal() : hub.view().entries.filter(({ index }) => index >= hub.oldest);
    const older = all.filter((entry) => entry.index < before).slice(-pageSize);
    this.pages.push({
      type: "session_messages_page",
      sessionId,
      generation: this.timeline.generation,
      entries: older,
      before,
      hasMore: (older[0]?.index ?? 0) > 0,
      oldestIndex: hub.oldest,
    });
    const ids = new Set(older.map((entry) => entry.id));
    this.pageDeltas = () => hub.receiver?.openDeltas().filter((delta) => ids.has(delta.entryId)) ?? [];
  }
  sendPages() {
    this.inbox.push(...this.pages.splice(0), ...this.pageDeltas());
    this.pageDeltas = () => [];
  }
}

type Step =
  | { do: "open" | "patch" | "host_crash" | "hub_crash" | "relay_break" | "connect" | "hub_read" }
  | {
    do:
      | "append"
      | "change"
      | "close"
      | "commit"
      | "deliver"
      | "viewer_break"
      | "viewer_attach"
      | "duplicate"
      | "older"
      | "send_page"
      | "trim"
      | "lose"
      | "duplicate_frame";
    n: number;
  };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ do: fc.constantFrom("append", "append", "deliver", "deliver"), n: fc.nat(3) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constantFrom("hub_read") }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom("commit", "change", "close"), n: fc.nat(7) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom("open", "connect", "patch") }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom("viewer_attach", "duplicate", "older", "send_page"), n: fc.nat(7) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("trim"), n: fc.nat(7) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("viewer_break", "lose", "duplicate_frame"), n: fc.nat(7) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("host_crash", "hub_crash", "relay_break") }) },
);

/** Runs the steps, then lets everything settle, and compares both viewers with the host. */
function run(steps: Step[]) {
  const host = new Host();
  const hub = new Hub();
  const viewers = [new Viewer(), new Viewer()];
  let relay: (Event | Delta)[] = [];
  let written = 0;

  const connect = () => {
    relay = [];
    hub.register();
    host.registered(hub.epoch, hub.acked, relay);
  };
  const breakRelay = () => {
    relay = [];
    host.disconnect();
  };
  const hubRead = () => {
    const message = relay.shift();
    if (!message || !hub.receiver) return;
    const verdict = message.type === "event" ? hub.receiver.acceptEvent(message) : hub.receiver.acceptDelta(message);
    assert.notEqual(verdict, "gap");
    if (verdict === "accept") { for (const viewer of viewers) if (viewer.isAttached) viewer.inbox.push(message); }
  };
  const deliver = (viewer: Viewer) => {
    const message = viewer.isAttached ? viewer.inbox.shift() : undefined;
    if (message) viewer.deliver(hub, message);
  };
  const commit = (count: number) => {
    hub.commit(count);
    if (host.out && host.producer.isRegistered) {
      host.acked(Math.max(host.producer.ackedSeq, Math.min(hub.acked, host.producer.sentSeq)));
    }
  };

  for (const current of steps) {
    const viewer = "n" in current ? viewers[current.n % 2]! : viewers[0]!;
    switch (current.do) {
      case "open":
        host.open();
        break;
      case "append":
        host.append(current.n, `<${written++}>`);
        break;
      case "change":
      case "close":
        host.change(current.n, current.do === "close");
        break;
      case "patch":
        host.patch(`title ${written++}`);
        break;
      case "connect":
        if (!host.out) connect();
        break;
      case "hub_read":
        hubRead();
        break;
      case "commit":
        commit(current.n);
        break;
      case "deliver":
        deliver(viewer);
        break;
      case "viewer_break":
        viewer.isAttached = false;
        viewer.inbox = [];
        viewer.timeline.detach();
        break;
      case "viewer_attach":
        viewer.attach(hub);
        break;
      case "duplicate": {
        const again = viewer.seen[viewer.seen.length - 1 - current.n];
        if (again && viewer.isAttached) viewer.deliver(hub, again);
        break;
      }
      case "older":
        if (viewer.isAttached) viewer.loadOlder(hub, host);
        break;
      case "trim":
        hub.trim(current.n);
        break;
      case "send_page":
        if (viewer.isAttached) viewer.sendPages();
        break;
      case "lose": {
        const at = viewer.inbox.findLastIndex((message) => message.type === "event" || message.type === "delta");
        if (at >= 0) {
          viewer.inbox.splice(at, 1);
          viewer.hasLost = true;
        }
        break;
      }
      case "duplicate_frame":
        if (relay[0]) relay.unshift(relay[0]);
        break;
      case "relay_break":
        breakRelay();
        break;
      case "host_crash":
        breakRelay();
        host.crash();
        break;
      case "hub_crash":
        breakRelay();
        hub.receiver = null;
        for (const each of viewers) {
          each.isAttached = false;
          each.inbox = [];
          each.timeline.detach();
        }
        break;
    }
  }

  if (!host.out) connect();
  while (relay.length > 0 || hub.acked < host.records.length) {
    hubRead();
    commit(2);
  }
  for (const viewer of viewers) {
    if (!viewer.isAttached || viewer.hasLost || viewer.timeline.phase === "detached") viewer.attach(hub);
    while (viewer.inbox.length > 0) deliver(viewer);
    while (viewer.timeline.hasOlder) {
      viewer.loadOlder(hub, host);
      viewer.sendPages();
      while (viewer.inbox.length > 0) deliver(viewer);
    }
    assert.equal(viewer.timeline.phase, "live");
    assert.deepEqual(
      viewer.timeline.ids.map((id) => ({
        id,
        status: viewer.timeline.get(id)!.entry.head.status,
        text: viewer.timeline.textOf(id),
      })),
      host.entries.map(({ id, status, text }) => ({ id, status, text })),
    );
    assert.deepEqual(viewer.timeline.meta, host.meta);
    assert.equal(viewer.timeline.cursor?.seq, host.records.length || 0);
  }
  assert.ok(
    host.entries.every((entry) => isOpen(entry.status) || entry.index < hub.oldest || hub.entries.has(entry.id)),
  );
}

Deno.test("any interleaving of breaks, duplicates and crashes ends in the host's timeline, once and in order", () => {
  fc.assert(fc.property(fc.array(step, { minLength: 40, maxLength: 150, size: "max" }), run), { numRuns: 15_000 });
});
