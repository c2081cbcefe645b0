/** The terminals of a runner, as far as one panel shows them: listed, made, restarted and closed over REST. */
import { signal } from "@preact/signals";
import * as z from "zod/mini";
import { type NewTerminal, TerminalInfo } from "@/protocol/terminal.ts";
import { Anything, api, errorText } from "./api.ts";

/** Titles and what asks for a person are looked for this often while the page is visible. */
const REFRESH_MS = 4_000;

const Listing = z.object({ terminals: z.array(TerminalInfo) });
const Made = z.object({ terminal: TerminalInfo });

export class TerminalList {
  /** Null until the runner has answered. */
  readonly items = signal<TerminalInfo[] | null>(null);
  readonly problem = signal<string | null>(null);
  readonly #runnerId: string;
  readonly #sessionId: string | null;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** @param sessionId only the terminals that were opened from this session; null: all */
  constructor(runnerId: string, sessionId: string | null) {
    this.#runnerId = runnerId;
    this.#sessionId = sessionId;
  }

  /** Lists, and keeps listing until disposed. Resolves with the first answer. */
  async start(): Promise<void> {
    this.#timer = setInterval(() => document.visibilityState === "visible" && void this.refresh(), REFRESH_MS);
    await this.refresh();
  }

  dispose(): void {
    clearInterval(this.#timer);
  }

  async refresh(): Promise<void> {
    await this.#try(async () => {
      const query = new URLSearchParams({ runnerId: this.#runnerId });
      const { terminals } = await api(Listing, "GET", `/api/terminals?${query}`);
      this.items.value = terminals.filter(({ sessionId }) => this.#sessionId === null || sessionId === this.#sessionId);
    });
  }

  /** Makes a terminal. Null: it could not be made, and `problem` says why. */
  make(terminal: NewTerminal): Promise<TerminalInfo | null> {
    return this.#try(async () => {
      const session = this.#sessionId === null ? {} : { sessionId: this.#sessionId };
      const made = await api(Made, "POST", "/api/terminals", { ...terminal, ...session, runnerId: this.#runnerId });
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
