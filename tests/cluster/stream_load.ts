/**
 * What people do through tunnels and terminals while things break. Each kind of work goes on until it is stopped, counts what
 * came out, and fails at once where something was cut short, changed or doubled without its user being told.
 */
import assert from "node:assert/strict";
import { pattern, sha256 } from "../link/local_app.ts";
import type { HubClient } from "../support/hub.ts";
import { within } from "../support/patience.ts";
import type { RunnerProcess } from "../support/runner.ts";
import { makeTerminal, TerminalClient } from "../terminal/terminal_client.ts";
import { openTunnelSocket } from "../tunnel/socket_client.ts";
import { answerOf, type TunnelClient, wholeOf } from "../tunnel/support.ts";

/** Largest body, in bytes. */
const BODY_BYTES = 600_000;
/** How long after a break the next attempt is made, and how soon somebody must learn that there was one. */
const RETRY_MS = 50;
const TOLD_MS = 45_000;
/** Messages of one WebSocket before it is closed. */
const SOCKET_MESSAGES = 40;

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Work that repeats itself until it is stopped. */
export class Work {
  readonly name: string;
  /** Rounds that succeeded, and rounds that visibly broke. */
  intact = 0;
  broken = 0;
  /** Why it ended by itself. */
  failure: unknown = null;
  #isStopped = false;
  readonly #done: Promise<void>;

  /** `round` resolves with whether it succeeded; it rejects when its user was deceived. */
  constructor(name: string, round: () => Promise<boolean>) {
    this.name = name;
    this.#done = this.#repeat(round);
    this.#done.catch((error) => this.failure = error);
  }

  async #repeat(round: () => Promise<boolean>): Promise<void> {
    while (!this.#isStopped) {
      if (await round()) this.intact++;
      else {
        this.broken++;
        await pause(RETRY_MS);
      }
    }
  }

  /** Ends after the round that is under way. Rejects when a round did. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await within(this.#done, `the end of the ${this.name}`, TOLD_MS);
  }
}

/** What a request came to: its answer, or null when it visibly broke off. Rejects when nobody was told in time. */
async function outcome<T>(work: Promise<T>, what: string): Promise<T | null> {
  try {
    return await within(work, what, TOLD_MS);
  } catch (error) {
    if (error instanceof Error && /did not happen/.test(error.message)) throw error;
    return null;
  }
}

/** Answers of the hub itself when it cannot reach the runner or its database. */
const isHubsOwn = (status: number) => status === 502 || status === 503;

export function downloads(tunnel: TunnelClient, random: () => number): Work {
  return new Work("downloads", async () => {
    const bytes = 1 + Math.floor(random() * BODY_BYTES);
    const path = `/pattern?bytes=${bytes}${random() < 0.5 ? "&length" : ""}`;
    const read = async () => {
      const request = tunnel.request("GET", path);
      const answered = answerOf(request);
      request.on("error", () => {});
      request.end();
      const answer = await answered;
      const parts: Uint8Array[] = [];
      for await (const part of answer) parts.push(part as Uint8Array);
      return { status: answer.statusCode ?? 0, body: await new Blob(parts as BlobPart[]).bytes() };
    };
    const got = await outcome(read(), "the end of a download");
    if (got === null || isHubsOwn(got.status)) return false;
    assert.equal(got.status, 200, new TextDecoder().decode(got.body).slice(0, 500));
    assert.equal(got.body.length, bytes, "an answer that ends as if it were whole is whole");
    assert.equal(sha256(got.body), sha256(pattern(bytes)));
    return true;
  });
}

export function uploads(tunnel: TunnelClient, random: () => number): Work {
  return new Work("uploads", async () => {
    const body = pattern(1 + Math.floor(random() * BODY_BYTES), Math.floor(random() * 1_000));
    const digest = sha256(body);
    const framing = random() < 0.5 ? { "content-length": body.length } : { "transfer-encoding": "chunked" };
    const send = async () => {
      const request = tunnel.request("POST", "/hash", { ...framing, "x-sha256": digest });
      const answered = answerOf(request);
      request.on("error", () => {});
      request.end(body);
      return await wholeOf(await answered);
    };
    const got = await outcome(send(), "the end of an upload");
    if (got === null || isHubsOwn(got.status)) return false;
    assert.deepEqual([got.status, got.text], [200, digest]);
    return true;
  });
}

/** Talks through WebSockets: what comes back is what was sent, in order, until the socket is closed with a code. */
export function talks(tunnel: TunnelClient): Work {
  return new Work("talks", async () => {
    const opened = await outcome(openTunnelSocket(tunnel, "/socket"), "the opening of a socket");
    if (opened === null) return false;
    const { socket, next, closed } = opened;
    const isOver = closed.then(() => null);
    for (let i = 0; i < SOCKET_MESSAGES; i++) {
      const text = `${i} ${"x".repeat((i * 37) % 500)}`;
      if (socket.readyState === WebSocket.OPEN) socket.send(text);
      const echo = next(TOLD_MS);
      echo.catch(() => {});
      const got = await within(Promise.race([echo, isOver]), "an echo or the end of a socket", TOLD_MS);
      if (got === null) {
        const { code } = await closed;
        // 0 is what this client says where browsers say 1006: the connection broke.
        assert.ok([0, 1001, 1006].includes(code) || (code >= 4000 && code < 5000), `closed with ${code}`);
        return false;
      }
      assert.equal(got, text);
    }
    socket.close(1000);
    await within(closed, "the close of a socket", TOLD_MS);
    return true;
  });
}

/** One terminal: the lines that were typed, those that the screen acknowledged, and the program's own record. */
interface Typed {
  terminalId: string;
  record: string;
  sent: string[];
  acknowledged: string[];
}

/** Acknowledges each line and records it. It has no echo, so that its screen is its output and nothing else. */
const recorder = 'stty -echo; echo listening; while read -r line; do echo "$line" >> "$0"; echo "took $line"; done';

/** Types lines into a terminal, one after the other was acknowledged or its connection was lost; never one of them again. */
export class Typist {
  readonly work: Work;
  readonly #front: HubClient;
  readonly #through: HubClient;
  readonly #runner: RunnerProcess;
  readonly #terminals: Typed[] = [];
  #viewer: TerminalClient | null = null;
  #count = 0;

  /** `front` makes terminals; they are looked at `through` another way, which breaks. */
  constructor(front: HubClient, through: HubClient, runner: RunnerProcess) {
    this.#front = front;
    this.#through = through;
    this.#runner = runner;
    this.work = new Work("typing", () => this.#round());
  }

  async #round(): Promise<boolean> {
    if (this.#viewer === null || this.#viewer.closeCode !== null) {
      this.#viewer = await this.#attach();
      if (this.#viewer === null) return false;
    }
    const viewer = this.#viewer;
    const typed = this.#terminals.at(-1)!;
    const line = `line-${this.#count++}`;
    typed.sent.push(line);
    viewer.type(`${line}\r`);
    const isShown = () => viewer.text.endsWith(`took ${line}`);
    await viewer.until(() => isShown() || viewer.closeCode !== null, `the acknowledgement of ${line}`, TOLD_MS);
    if (!isShown()) return false;
    typed.acknowledged.push(line);
    return true;
  }

  /** Looks at the terminal, which is made when there is none (any more). Null: not now. */
  async #attach(): Promise<TerminalClient | null> {
    const typed = this.#terminals.at(-1);
    const made = typed ?? await outcome(this.#make(), "a new terminal");
    if (made === null) return null;
    const client = await TerminalClient.refusedOrOpen(this.#through, this.#runner.runnerId, made.terminalId, TOLD_MS);
    if (client.closeCode === null) {
      await client.until(
        () => client.text.startsWith("listening") || client.closeCode !== null,
        "the terminal's first line",
        TOLD_MS,
      );
      return client;
    }
    await client[Symbol.asyncDispose]();
    // The runner died, and its terminals with it.
    if (client.errors.some(({ code }) => code === "not_found")) await outcome(this.#make(), "a new terminal");
    return null;
  }

  async #make(): Promise<Typed> {
    const record = await Deno.makeTempFile({ prefix: "perch-typed-" });
    const { terminalId } = await makeTerminal(this.#front, this.#runner, {
      command: ["/bin/sh", "-c", recorder, record],
    });
    const typed = { terminalId, record, sent: [], acknowledged: [] };
    this.#terminals.push(typed);
    return typed;
  }

  /**
   * Stops typing. What the programs took was typed, each line once; what was acknowledged is among it, in its order. Resolves with
   * what the last terminal must show.
   */
  async stop(): Promise<{ terminalId: string; screen: string } | null> {
    await this.work.stop();
    await this.#viewer?.[Symbol.asyncDispose]();
    let last: { terminalId: string; screen: string } | null = null;
    for (const { terminalId, record, sent, acknowledged } of this.#terminals) {
      const taken = (await Deno.readTextFile(record)).split("\n").slice(0, -1);
      assert.deepEqual(taken.toSorted(), [...new Set(taken)].filter((line) => sent.includes(line)).toSorted());
      assert.deepEqual(taken.filter((line) => acknowledged.includes(line)), acknowledged);
      last = { terminalId, screen: ["listening", ...taken.map((line) => `took ${line}`)].join("\n") };
      await Deno.remove(record);
    }
    return last;
  }
}
