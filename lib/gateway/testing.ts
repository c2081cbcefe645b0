/** For tests: a hub on a loopback port with its gateways mounted, and scripted peers over real sockets. */
import { createLog } from "@/lib/log.ts";
import { type Hub, type HubConfig, openHub } from "@/lib/hub.ts";
import { openMesh } from "@/lib/mesh/mesh.ts";
import type { Authenticator, Principal } from "@/lib/principal.ts";
import { openSessionStore } from "@/lib/session/store.ts";
import type { SessionStore } from "@/lib/session/types.ts";
import { type Event, initialMeta, PROTOCOL_VERSION, type Register } from "@/protocol/mod.ts";
import type { Namespace } from "./connection.ts";

/** How long a test waits for something that must happen. */
export const PATIENCE_MS = 10_000;

/** Knows `Bearer key-<user>` and `Cookie: session=<user>`. */
export const testAuth: Authenticator = {
  isValid: () => Promise.resolve(true),
  authenticate(req) {
    const key = /^Bearer key-(\w+)$/.exec(req.headers.get("authorization") ?? "")?.[1];
    const session = /session=(\w+)/.exec(req.headers.get("cookie") ?? "")?.[1];
    const userId = key ?? session;
    if (userId === undefined) return Promise.resolve(null);
    const credential: Principal["credential"] = { kind: key ? "key" : "session", id: `${userId}-credential` };
    return Promise.resolve({ userId, userName: userId.toUpperCase(), credential });
  },
};

export interface TestHub extends AsyncDisposable {
  hub: Hub;
  store: SessionStore;
  /** "127.0.0.1:<port>" */
  host: string;
}

/** Starts a hub over `kv` as an isolate of its own; `wrapStore` may put something between it and the real store. */
export async function startHub(
  kv: Deno.Kv,
  wrapStore: (store: SessionStore) => SessionStore = (store) => store,
  config: HubConfig = {},
): Promise<TestHub> {
  const mesh = await openMesh({ kv });
  const realStore = openSessionStore({ kv, mesh });
  const store = wrapStore(realStore);
  const hub = openHub({
    kv,
    mesh,
    store,
    auth: testAuth,
    config,
    version: "0.0.0",
    isolateId: mesh.isolateId,
    log: createLog("error"),
  });
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (req) => {
    const namespace = new URL(req.url).pathname.replace("/ws/", "") as Namespace;
    return hub.gateways.upgrade(namespace, req, await testAuth.authenticate(req));
  });
  return {
    hub,
    store,
    host: `127.0.0.1:${(server.addr as Deno.NetAddr).port}`,
    async [Symbol.asyncDispose]() {
      await hub.close();
      await realStore[Symbol.asyncDispose]();
      await mesh[Symbol.asyncDispose]();
      await server.shutdown();
    },
  };
}

export interface TestMessage {
  type: string;
  // deno-lint-ignore no-explicit-any -- tests look into messages of every namespace
  [field: string]: any;
}

/** One peer of a namespace. Collects what arrives, message by message. */
export class Peer implements AsyncDisposable {
  readonly socket: WebSocket;
  /** Everything received and not yet taken by `next`. */
  readonly received: TestMessage[] = [];
  /** Texts of the frames as they came. */
  readonly frames: string[] = [];
  readonly closed: Promise<CloseEvent>;
  readonly #opened: Promise<void>;
  #waiting: (() => void)[] = [];

  private constructor(url: string, headers: Record<string, string>) {
    // The DOM's type does not know Deno's options.
    this.socket = new (WebSocket as unknown as new (url: string, options: object) => WebSocket)(url, { headers });
    const closing = Promise.withResolvers<CloseEvent>();
    const opening = Promise.withResolvers<void>();
    this.closed = closing.promise;
    this.#opened = opening.promise;
    this.socket.onopen = () => opening.resolve();
    this.socket.onerror = (event) => opening.reject(new Error((event as ErrorEvent).message));
    this.socket.onclose = (event) => {
      closing.resolve(event);
      this.#wake();
    };
    this.socket.onmessage = ({ data }) => {
      this.frames.push(data);
      const value = JSON.parse(data);
      for (const message of Array.isArray(value) ? value : [value]) {
        if (message.type === "ping") this.send({ type: "pong" });
        else this.received.push(message);
      }
      this.#wake();
    };
    this.#opened.catch(() => {});
  }

  /** Opens a socket with the user's key, or with `headers`. */
  static async open(
    { host }: { host: string },
    namespace: string,
    user: string,
    headers: Record<string, string> = { authorization: `Bearer key-${user}` },
    query = "",
  ): Promise<Peer> {
    const peer = new Peer(`ws://${host}/ws/${namespace}${query}`, headers);
    await peer.#opened;
    return peer;
  }

  send(...messages: object[]): void {
    this.socket.send(JSON.stringify(messages.length === 1 ? messages[0] : messages));
  }

  /** The next message of `type` (and for which `test` holds); those before it are dropped. */
  async next(type: string, test: (message: TestMessage) => boolean = () => true): Promise<TestMessage> {
    const found = await this.until(() => {
      const at = this.received.findIndex((message) => message.type === type && test(message));
      if (at < 0) return undefined;
      return this.received.splice(0, at + 1).at(-1);
    }, type);
    return found;
  }

  /** Waits until `find` gives something; it is asked again after each frame. */
  async until<T>(find: () => T | undefined, what: string): Promise<T> {
    const deadline = AbortSignal.timeout(PATIENCE_MS);
    for (;;) {
      const found = find();
      if (found !== undefined) return found;
      if (this.socket.readyState === WebSocket.CLOSED) throw new Error(`socket closed while waiting for ${what}`);
      await new Promise<void>((resolve, reject) => {
        const fail = () =>
          reject(new Error(`${what} did not come; got ${JSON.stringify(this.received.slice(-5)).slice(0, 2_000)}`));
        deadline.addEventListener("abort", fail, { once: true });
        this.#waiting.push(() => {
          deadline.removeEventListener("abort", fail);
          resolve();
        });
      });
    }
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.socket.readyState !== WebSocket.CLOSED) this.socket.close();
    await this.closed;
  }
}

export function register(sessionId: string, more: Partial<Register> = {}): Register {
  return {
    type: "register",
    protocolVersion: PROTOCOL_VERSION,
    sessionId,
    runnerId: "runner-1",
    logId: `log-${sessionId}`,
    lastSeq: 0,
    cwd: "/work",
    sessionName: null,
    agent: { id: "demo", name: "Demo" },
    startedAt: 1,
    ...more,
  };
}

/** Record `seq`: a completed message that is entry `index`. */
export function textEvent(
  sessionId: string,
  epoch: number,
  seq: number,
  text = `text ${seq}`,
  { index = seq - 1, status = "completed" }: { index?: number; status?: "completed" | "running" } = {},
): Event {
  return {
    type: "event",
    sessionId,
    epoch,
    seq,
    entry: {
      id: `entry-${index}`,
      index,
      kind: "agent_message",
      head: { status, startedAt: 1, textLength: text.length },
      body: { text },
    },
  };
}

export function metaEvent(sessionId: string, epoch: number, seq: number, title: string): Event {
  return { type: "event", sessionId, epoch, seq, meta: { title, activity: initialMeta().activity } };
}

/** A viewer of ann's that has its snapshot. */
export async function attachViewer(hub: { host: string }, sessionId: string): Promise<Peer> {
  const viewer = await Peer.open(hub, "viewer", "ann");
  viewer.send({ type: "switch_session", sessionId, generation: 1 });
  await viewer.next("snapshot");
  return viewer;
}
