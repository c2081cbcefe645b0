/** The timers of an agent's turns: silence, an unconfirmed cancel, and text outside of any turn. Owns and disposes them. */

export interface TurnTiming {
  /** Silence in a turn that is worth telling (Claude says nothing for minutes when its key is refused). */
  silenceMs: number;
  /** How long a cancelled turn may take to end before it is given up (droid took 14 s). */
  cancelGraceMs: number;
  /** Text outside of a turn is complete when no more came for this long. */
  strayTextMs: number;
}

export const turnTiming: TurnTiming = { silenceMs: 30_000, cancelGraceMs: 15_000, strayTextMs: 2_000 };

export interface TurnClockEvents {
  /** Whether nobody expects output now: a person is asked, or a command runs. */
  isQuietNormal(): boolean;
  /** A sentence when the agent has been silent for long, null when it speaks again. */
  onSilence(message: string | null): void;
  /** The agent did not end its cancelled turn; `message` says within which time. */
  onCancelTimeout(message: string): void;
  onStray(): void;
}

export class TurnClock {
  readonly #timing: TurnTiming;
  readonly #events: TurnClockEvents;
  #silence: ReturnType<typeof setTimeout> | undefined;
  #cancel: ReturnType<typeof setTimeout> | undefined;
  #stray: ReturnType<typeof setTimeout> | undefined;
  #isInTurn = false;
  #isSilent = false;
  #lastHeardAt = 0;

  constructor(timing: TurnTiming, events: TurnClockEvents) {
    this.#timing = timing;
    this.#events = events;
  }

  turnStarted(): void {
    this.#isInTurn = true;
    clearTimeout(this.#stray);
    this.heard();
    this.#watchSilence(this.#timing.silenceMs);
  }

  /** Something came from the agent. Cheap: called for every token. */
  heard(): void {
    this.#lastHeardAt = Date.now();
    if (!this.#isSilent) return;
    this.#isSilent = false;
    this.#events.onSilence(null);
  }

  cancelStarted(): void {
    clearTimeout(this.#cancel);
    const { cancelGraceMs } = this.#timing;
    this.#cancel = setTimeout(
      () => this.#events.onCancelTimeout(`within ${Math.round(cancelGraceMs / 1000)} s`),
      cancelGraceMs,
    );
  }

  strayText(): void {
    clearTimeout(this.#stray);
    this.#stray = setTimeout(() => this.#events.onStray(), this.#timing.strayTextMs);
  }

  turnEnded(): void {
    this.#isInTurn = false;
    clearTimeout(this.#silence);
    clearTimeout(this.#cancel);
    this.heard();
  }

  dispose(): void {
    this.turnEnded();
    clearTimeout(this.#stray);
  }

  #watchSilence(delayMs: number): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      if (!this.#isInTurn) return;
      if (this.#events.isQuietNormal()) this.#lastHeardAt = Date.now();
      const silentMs = Date.now() - this.#lastHeardAt;
      if (silentMs >= this.#timing.silenceMs) {
        this.#isSilent = true;
        this.#events.onSilence(
          `No output for ${Math.round(silentMs / 1000)} s; the agent may be retrying its model server.`,
        );
      }
      this.#watchSilence(Math.max(this.#isSilent ? this.#timing.silenceMs : this.#timing.silenceMs - silentMs, 10));
    }, delayMs);
  }
}
