/**
 * `bench attach`: how soon a viewer that comes late has what it needs of a session of 5,000 entries (5 MB): the newest page, every
 * entry page by page, what changed since its cursor, and the newest page when 200 of them come at once.
 */
import type { Cursor } from "@/protocol/mod.ts";
import { limits } from "@/protocol/limits.ts";
import { type HubProcess, startHub } from "../tests/support/hub.ts";
import { Changes } from "../tests/support/patience.ts";
import { type Message, openHubSocket } from "./load/hub_socket.ts";
import { LongSession } from "./load/long_session.ts";
import { cpuSeconds, machineLoad } from "./load/process.ts";
import { type RawSocket, textFrame } from "./load/raw_socket.ts";
import { median, percentile, type Result, result } from "./report.ts";
import { tell } from "./sessions.ts";

const ENTRIES = 5_000;
const ENTRY_CHARS = 1_000;
const CHANGED = 100;
const STORM_VIEWERS = 200;
const READ_BYTES = 64 * 1024;

interface Plan {
  /** How often each single viewer's way is measured; the middle one counts. */
  times: number;
  /** How often 200 come at once; their times are taken together. */
  storms: number;
}

const quickPlan: Plan = { times: 11, storms: 3 };
const fullPlan: Plan = { times: 51, storms: 10 };
const WARM_UPS = 5;

/** Runs the bench and gives its results. What happens meanwhile is told on stderr. */
export async function attach(options: { isQuick: boolean }): Promise<Result[]> {
  const plan = options.isQuick ? quickPlan : fullPlan;
  await using hub = await startHub();
  await using session = await LongSession.open(hub);
  await session.write(0, Array.from({ length: ENTRIES }, (_, i) => `${i} `.padEnd(ENTRY_CHARS, "lorem ipsum ")));
  const before: Cursor = { epoch: session.epoch, seq: session.lastSeq };
  await session.write(ENTRIES - CHANGED, Array.from({ length: CHANGED }, (_, i) => `changed ${i}`.padEnd(ENTRY_CHARS)));

  // Each time a viewer of its own, as each reader is: one viewer may ask for a hundred pages a second.
  const times = async (measured: (viewer: LateViewer) => Promise<number>) => {
    const found: number[] = [];
    for (let i = 0; i < WARM_UPS + plan.times; i++) {
      await using viewer = await LateViewer.open(hub, session.sessionId);
      found.push(await measured(viewer));
    }
    return median(found.slice(WARM_UPS));
  };
  const firstPageMs = await times((viewer) => viewer.firstPage());
  const fullMs = await times((viewer) => viewer.everything());
  const resumeMs = await times((viewer) => viewer.resume(before));

  const crowd = await Promise.all(
    Array.from({ length: STORM_VIEWERS }, () => LateViewer.open(hub, session.sessionId)),
  );
  const storms: number[] = [];
  await Promise.all(crowd.map((one) => one.firstPage()));
  const cpuBefore = cpuSeconds(hub.pid);
  for (let i = 0; i < plan.storms; i++) storms.push(...await Promise.all(crowd.map((one) => one.firstPage())));
  console.error(
    `  a storm costs the hub ${
      Math.round((cpuSeconds(hub.pid) - cpuBefore) / plan.storms * 1_000)
    } ms of CPU; ${machineLoad()}`,
  );
  await Promise.all(crowd.map((one) => one[Symbol.asyncDispose]()));
  const results = [
    result("attach.first_page_ms", "ms", firstPageMs),
    result("attach.full_ms", "ms", fullMs),
    result("attach.resume_ms", "ms", resumeMs),
    result("attach.storm_p99_ms", "ms", percentile(storms, 0.99)),
    result("attach.storm_p50_ms", "ms", percentile(storms, 0.5)),
  ];
  tell(results);
  return results;
}

/** A viewer that attaches again and again, and times it from its request to the last byte of the answer. */
class LateViewer implements AsyncDisposable {
  readonly #sessionId: string;
  readonly #socket: RawSocket;
  readonly #changes: Changes;
  readonly #received: Message[];
  #generation = 0;

  private constructor(sessionId: string, socket: RawSocket, changes: Changes, received: Message[]) {
    this.#sessionId = sessionId;
    this.#socket = socket;
    this.#changes = changes;
    this.#received = received;
  }

  static async open(hub: HubProcess, sessionId: string): Promise<LateViewer> {
    const changes = new Changes();
    const received: Message[] = [];
    const socket = await openHubSocket(hub, "viewer", (message) => {
      received.push(message);
      changes.notify();
    }, { readBytes: READ_BYTES });
    return new LateViewer(sessionId, socket, changes, received);
  }

  /** Attaches without a cursor. Resolves with the time until the newest page is here. */
  async firstPage(): Promise<number> {
    const startMs = performance.now();
    this.#attach();
    await this.#next("snapshot");
    return performance.now() - startMs;
  }

  /** Attaches without a cursor and loads page after page down to the first entry. */
  async everything(): Promise<number> {
    const startMs = performance.now();
    this.#attach();
    const snapshot = await this.#next("snapshot");
    let entries = snapshot.entries as { index: number }[];
    let count = entries.length;
    while (entries[0]!.index > 0) {
      const generation = this.#generation;
      const before = entries[0]!.index;
      const limit = limits.pageEntries;
      this.#send({ type: "load_messages", sessionId: this.#sessionId, generation, before, limit });
      entries = (await this.#next("session_messages_page")).entries as { index: number }[];
      count += entries.length;
    }
    const ms = performance.now() - startMs;
    if (count !== ENTRIES) throw new Error(`${count} entries came, ${ENTRIES} were written`);
    return ms;
  }

  /** Attaches with a cursor. Resolves with the time until the last of the changes is here. */
  async resume(cursor: Cursor): Promise<number> {
    const startMs = performance.now();
    this.#attach(cursor);
    let changed = 0;
    for (let more = true; more;) {
      const changes = await this.#next("changes");
      changed += (changes.entries as unknown[]).length;
      more = changes.more === true;
    }
    const ms = performance.now() - startMs;
    if (changed !== CHANGED) throw new Error(`${changed} changed entries came, ${CHANGED} were changed`);
    return ms;
  }

  #attach(cursor?: Cursor): void {
    this.#received.length = 0;
    const generation = ++this.#generation;
    this.#send({ type: "switch_session", sessionId: this.#sessionId, generation, ...(cursor ? { cursor } : {}) });
  }

  #send(message: object): void {
    this.#socket.send(textFrame(JSON.stringify(message)));
  }

  async #next(type: string): Promise<Message> {
    const message = await this.#changes.until(() => {
      if (this.#socket.fault !== null) throw this.#socket.fault;
      const at = this.#received.findIndex((received) => received.type === type || received.type === "error");
      return at < 0 ? null : this.#received.splice(0, at + 1).at(-1);
    }, `a message ${type}`);
    if (message.type === "error") throw new Error(`the hub refused: ${JSON.stringify(message)}`);
    return message;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#socket.close();
  }
}
