/**
 * The control socket of a session host: a unix socket (0600) on which the daemon asks for status, hands over the hub's address
 * and key, and stops the host. JSON lines both ways, one answer to each request, in order.
 * The daemon keeps its connection open; when it breaks, the host is gone.
 */
import { dirname } from "node:path";
import * as z from "zod";
import { Activity, Id, SessionEnd } from "@/protocol/mod.ts";
import { removeIfExists } from "./atomic_file.ts";
import { errorText } from "./log.ts";

/** Longest line of the control protocol. */
const LINE_BYTES = 64 * 1024;

export const ControlRequest = z.discriminatedUnion("type", [
  z.object({ type: z.literal("status") }),
  /** Use this hub from now on, and try to connect at once. */
  z.object({ type: z.literal("hub"), hubUrl: z.string(), apiKey: z.string() }),
  /** End the session: answered when its end is written, before the process exits. */
  z.object({ type: z.literal("stop"), reason: SessionEnd.shape.reason, detail: z.string().optional() }),
]);
export type ControlRequest = z.infer<typeof ControlRequest>;

export const HostStatus = z.object({
  sessionId: Id,
  pid: z.number().int().positive(),
  activity: Activity,
  isRegistered: z.boolean(),
  lastSeq: z.number().int().nonnegative(),
  ackedSeq: z.number().int().nonnegative(),
});
export type HostStatus = z.infer<typeof HostStatus>;

const ControlAnswer = z.object({ ok: z.boolean(), error: z.string().optional(), status: HostStatus.optional() });
type ControlAnswer = z.infer<typeof ControlAnswer>;

/** Serves the control socket. `handle` answers a request; a rejection becomes the answer's error. */
export class ControlServer {
  readonly #path: string;
  readonly #listener: Deno.UnixListener;
  readonly #connections = new Set<Deno.UnixConn>();
  readonly #handle: (request: ControlRequest) => Promise<HostStatus>;

  /** Binds the socket; one left by a dead host is replaced. The caller holds the session's lock. */
  constructor(path: string, handle: (request: ControlRequest) => Promise<HostStatus>) {
    this.#path = path;
    this.#handle = handle;
    makePrivateDirectory(dirname(path));
    removeIfExists(path);
    this.#listener = Deno.listen({ transport: "unix", path });
    Deno.chmodSync(path, 0o600);
    void this.#accept();
  }

  async #accept(): Promise<void> {
    try {
      for await (const connection of this.#listener) {
        this.#connections.add(connection);
        void this.#serve(connection);
      }
    } catch {
      // The listener was closed.
    }
  }

  async #serve(connection: Deno.UnixConn): Promise<void> {
    try {
      for await (const line of readLines(connection)) {
        const answer = await this.#answer(line);
        await writeLine(connection, answer);
      }
    } catch {
      // The other side went away, or sent what is no line.
    } finally {
      this.#connections.delete(connection);
      closeQuietly(connection);
    }
  }

  async #answer(line: string): Promise<ControlAnswer> {
    try {
      const request = ControlRequest.safeParse(JSON.parse(line));
      if (!request.success) {
        const issue = request.error.issues[0];
        return { ok: false, error: `control request: ${issue?.path.join(".")}: ${issue?.message}` };
      }
      return { ok: true, status: await this.#handle(request.data) };
    } catch (error) {
      return { ok: false, error: errorText(error) };
    }
  }

  close(): void {
    this.#listener.close();
    for (const connection of this.#connections) closeQuietly(connection);
    removeIfExists(this.#path);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** The daemon's side. */
export class ControlClient {
  readonly #connection: Deno.UnixConn;
  readonly #waiting: { resolve(answer: ControlAnswer): void; reject(error: Error): void }[] = [];
  /** Resolves when the host is gone (or `close` was called). */
  readonly gone: Promise<void>;
  #isGone = false;

  private constructor(connection: Deno.UnixConn) {
    this.#connection = connection;
    this.gone = this.#read();
  }

  /** Connects to a host's control socket. Rejects when nobody listens there. */
  static async connect(path: string): Promise<ControlClient> {
    return new ControlClient(await Deno.connect({ transport: "unix", path }));
  }

  async #read(): Promise<void> {
    try {
      for await (const line of readLines(this.#connection)) {
        this.#waiting.shift()?.resolve(ControlAnswer.parse(JSON.parse(line)));
      }
    } catch {
      // Gone in the middle of a line, or closed by us.
    } finally {
      this.#isGone = true;
      for (const waiter of this.#waiting.splice(0)) waiter.reject(new Error("the session host is gone"));
      closeQuietly(this.#connection);
    }
  }

  /** Sends a request and waits for its answer. Rejects when the host reports an error or goes away. */
  async request(request: ControlRequest): Promise<HostStatus | undefined> {
    if (this.#isGone) throw new Error("the session host is gone");
    const { promise, resolve, reject } = Promise.withResolvers<ControlAnswer>();
    this.#waiting.push({ resolve, reject });
    writeLine(this.#connection, request).catch(() => closeQuietly(this.#connection));
    const answer = await promise;
    if (!answer.ok) throw new Error(answer.error ?? "the session host refused");
    return answer.status;
  }

  close(): void {
    closeQuietly(this.#connection);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Makes a directory that only its owner can enter. Throws when somebody else's stands there already (a shared /tmp). */
export function makePrivateDirectory(path: string): void {
  Deno.mkdirSync(path, { recursive: true, mode: 0o700 });
  const { isDirectory, uid, mode } = Deno.lstatSync(path);
  if (!isDirectory || uid !== Deno.uid()) {
    throw new Error(`${path} belongs to somebody else; the control socket cannot be made there`);
  }
  if (((mode ?? 0) & 0o077) !== 0) Deno.chmodSync(path, 0o700);
}

async function* readLines(connection: Deno.UnixConn): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(16 * 1024);
  let pending = "";
  for (let read = await connection.read(buffer); read !== null; read = await connection.read(buffer)) {
    pending += decoder.decode(buffer.subarray(0, read), { stream: true });
    const lines = pending.split("\n");
    pending = lines.pop() ?? "";
    if (pending.length > LINE_BYTES) throw new Error(`a control line is over ${LINE_BYTES} bytes`);
    yield* lines;
  }
}

async function writeLine(connection: Deno.UnixConn, value: unknown): Promise<void> {
  const bytes = new TextEncoder().encode(JSON.stringify(value) + "\n");
  for (let offset = 0; offset < bytes.length;) offset += await connection.write(bytes.subarray(offset));
}

function closeQuietly(connection: Deno.UnixConn): void {
  try {
    connection.close();
  } catch {
    // Closed already.
  }
}
