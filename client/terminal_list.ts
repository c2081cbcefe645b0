/**
 * The terminals of a runner, as far as one panel shows them: listed, made, restarted and closed over REST, and listed again when the
 * hub's list of runners says that they changed.
 */
import { effect, type ReadonlySignal, signal } from "@preact/signals";
import * as z from "zod/mini";
import type { RunnerInfo } from "@/protocol/shared.ts";
import { type NewTerminal, TerminalInfo } from "@/protocol/terminal.ts";
import { Anything, api, errorText } from "./api.ts";
import { type LiveList, liveRunners } from "./live_lists.ts";

const Listing = z.object({ terminals: z.array(TerminalInfo) });
const Made = z.object({ terminal: TerminalInfo });

export class TerminalList {
  /** Null until the runner has answered. */
  readonly items = signal<TerminalInfo[] | null>(null);
  readonly problem = signal<string | null>(null);
  /** The terminal that is shown. It stays in the list when it is gone, so that its screen can say so. */
  readonly current = signal<string | null>(null);
  readonly #runnerId: string;
  readonly #sessionId: string | null;
  readonly #runners: LiveList<RunnerInfo>;
  readonly #ownsRunners: boolean;
  readonly #isConnected = signal(true);
  #stop = () => {};
  #reading: Promise<void> | null = null;
  /** Something changed since the reading that goes on was asked for. */
  #isStale = false;

  /**
   * @param sessionId only the terminals that were opened from this session; null: all. Sessions are in neither.
   * @param runners the page's list of runners; without it this makes its own
   */
  constructor(runnerId: string, sessionId: string | null, runners?: LiveList<RunnerInfo>) {
    this.#runnerId = runnerId;
    this.#sessionId = sessionId;
    this.#runners = runners ?? liveRunners();
    this.#ownsRunners = runners === undefined;
  }

  /** Whether the runner is there. */
  get isConnected(): ReadonlySignal<boolean> {
    return this.#isConnected;
  }

  /** Lists, and keeps the list up to date until disposed. Resolves with the first answer. */
  async start(): Promise<void> {
    let last: string | null = null;
    this.#stop = effect(() => {
      const runner = this.#runners.items.value?.get(this.#runnerId);
      if (runner === undefined) return;
      this.#isConnected.value = runner.isConnected;
      const now = `${runner.isConnected} ${runner.terminals?.changedAt}`;
      const isNews = last !== now && runner.isConnected;
      last = now;
      if (isNews) void this.refresh();
    });
    this.#runners.start();
    await this.refresh();
  }

  dispose(): void {
    this.#stop();
    if (this.#ownsRunners) this.#runners.dispose();
  }

  /** Reads the list, again when it changes meanwhile. */
  refresh(): Promise<void> {
    this.#isStale = true;
    this.#reading ??= this.#readWhileStale().finally(() => this.#reading = null);
    return this.#reading;
  }

  async #readWhileStale(): Promise<void> {
    while (this.#isStale) {
      this.#isStale = false;
      await this.#read();
    }
  }

  async #read(): Promise<void> {
    await this.#try(async () => {
      const query = new URLSearchParams({ runnerId: this.#runnerId });
      const { terminals } = await api(Listing, "GET", `/api/terminals?${query}`);
      const items = terminals.filter(({ terminalId, sessionId }) =>
        terminalId !== sessionId && (this.#sessionId === null || sessionId === this.#sessionId)
      );
      const before = this.items.peek() ?? [];
      const at = before.findIndex(({ terminalId }) => terminalId === this.current.peek());
      const isGone = at >= 0 && !items.some(({ terminalId }) => terminalId === before[at]!.terminalId);
      this.items.value = isGone ? items.toSpliced(at, 0, before[at]!) : items;
    });
  }

  /** Makes a terminal. Null: it could not be made, and `problem` says why. */
  make(terminal: NewTerminal): Promise<TerminalInfo | null> {
    return this.#try(async () => {
      const session = this.#sessionId === null ? {} : { sessionId: this.#sessionId };
      const made = await api(Made, "POST", "/api/terminals", { ...terminal, ...session, runnerId: this.#runnerId });
      // A list that is being read does not have it.
      this.#isStale = true;
      this.items.value = [...this.items.value ?? [], made.terminal];
      return made.terminal;
    });
  }

  async restart(terminalId: string): Promise<void> {
    const path = `/api/terminals/${encodeURIComponent(terminalId)}/restart`;
    await this.#try(() => api(Anything, "POST", path, { runnerId: this.#runnerId }));
  }

  /** Ends a terminal's program and takes it off the list; also one that is gone already. */
  async close(terminalId: string): Promise<void> {
    this.items.value = (this.items.value ?? []).filter((terminal) => terminal.terminalId !== terminalId);
    const query = new URLSearchParams({ runnerId: this.#runnerId });
    await api(Anything, "DELETE", `/api/terminals/${encodeURIComponent(terminalId)}?${query}`).catch(() => {});
    await this.refresh();
  }

  async #try<T>(work: () => Promise<T>): Promise<T | null> {
    try {
      const value = await work();
      this.problem.value = null;
      return value;
    } catch (error) {
      this.problem.value = errorText(error);
      return null;
    }
  }
}
