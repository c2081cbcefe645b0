/** A hub, its runner and local servers, and a client that speaks HTTP to a tunnel's host as a browser would. */
import * as http from "node:http";
import { type HubClient, type HubProcess, type Person, startHub } from "../support/hub.ts";
import { eventually, within } from "../support/patience.ts";
import { type RunnerOptions, type RunnerProcess, startRunner } from "../support/runner.ts";

export interface Rig extends AsyncDisposable {
  hub: HubProcess;
  runner: RunnerProcess;
  /** Exposes a port and goes in by a ticket. */
  expose(port: number, more?: object): Promise<TunnelClient>;
}

/** Starts hub and runner; waits until the data link carries streams. */
export async function startRig(
  options: { env?: Record<string, string>; runner?: RunnerOptions; isolates?: number } = {},
): Promise<Rig> {
  const hub = await startHub({ env: options.env ?? {}, isolates: options.isolates ?? 1 });
  let runner: RunnerProcess;
  try {
    runner = await startRunner(hub, options.runner);
  } catch (error) {
    await hub[Symbol.asyncDispose]();
    throw error;
  }
  return {
    hub,
    runner,
    async expose(port, more = {}) {
      const { tunnel } = await hub.api("POST", "/api/tunnels", { runnerId: runner.runnerId, port, ...more });
      const client = new TunnelClient(hub, tunnel.tunnelId);
      await client.enter();
      return client;
    },
    async [Symbol.asyncDispose]() {
      await runner[Symbol.asyncDispose]();
      await hub[Symbol.asyncDispose]();
    },
  };
}

export interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  /** Names and values as they came, in turn. */
  rawHeaders: string[];
  text: string;
}

export class TunnelClient {
  readonly hub: HubClient;
  readonly tunnelId: string;
  cookie = "";

  constructor(hub: HubClient, tunnelId: string) {
    this.hub = hub;
    this.tunnelId = tunnelId;
  }

  get host(): string {
    return `${this.tunnelId}.localhost:${this.hub.port}`;
  }
  get origin(): string {
    return `http://${this.host}`;
  }

  /** A fresh ticket of the hub's first person. */
  async ticket(person?: Person): Promise<string> {
    const { url } = await this.hub.api("POST", `/api/tunnels/${this.tunnelId}/ticket`, {}, person);
    return new URL(url).hash.slice("#ticket=".length);
  }

  /** Posts what the entry page posts; the cookie that comes back is used from now on. */
  async post(entry: object): Promise<Answer> {
    const answer = await this.ask("POST", "/__perch/enter", {
      headers: { origin: this.origin, "content-type": "application/json" },
      body: JSON.stringify(entry),
    });
    const [cookie] = answer.headers["set-cookie"] ?? [];
    if (cookie !== undefined) this.cookie = cookie.split(";")[0]!;
    return answer;
  }

  async enter(): Promise<void> {
    const { status, text } = await this.post({ ticket: await this.ticket() });
    if (status !== 204) throw new Error(`the ticket was refused: ${status} ${text}`);
  }

  /** Begins a request. */
  request(method: string, path: string, headers: http.OutgoingHttpHeaders = {}): http.ClientRequest {
    const cookie = [headers.cookie, this.cookie].filter(Boolean).join("; ");
    return http.request({
      host: "127.0.0.1",
      port: this.hub.port,
      method,
      path,
      agent: false,
      headers: { host: this.host, ...headers, ...(cookie === "" ? {} : { cookie }) },
    });
  }

  /** A whole request and its whole answer. */
  async ask(
    method: string,
    path: string,
    { headers, body }: { headers?: http.OutgoingHttpHeaders; body?: string | Uint8Array } = {},
  ): Promise<Answer> {
    const request = this.request(method, path, {
      ...(body === undefined
        ? {}
        : { "content-length": typeof body === "string" ? byteLength(body) : body.byteLength }),
      ...headers,
    });
    const answered = answerOf(request);
    request.end(body);
    const message = await within(answered, `the answer to ${method} ${path}`);
    return await wholeOf(message);
  }

  /** The status once it is this one: a runner's link comes a moment after the runner. */
  async ready(path = "/"): Promise<void> {
    await eventually(async () => (await this.ask("GET", path)).status < 500, "a tunnel that carries requests");
  }
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).byteLength;
}

/** The head of the answer. */
export function answerOf(request: http.ClientRequest): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once("response", resolve);
    request.once("error", reject);
  });
}

export async function wholeOf(message: http.IncomingMessage): Promise<Answer> {
  const parts: Uint8Array[] = [];
  for await (const part of message) parts.push(part as Uint8Array);
  const text = await new Blob(parts as BlobPart[]).text();
  return { status: message.statusCode ?? 0, headers: message.headers, rawHeaders: message.rawHeaders, text };
}

/** A local server on a free port. */
export function localServer(
  handler: (req: Request, info: Deno.ServeHandlerInfo<Deno.NetAddr>) => Response | Promise<Response>,
): { port: number } & AsyncDisposable {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {}, onError: () => new Response(null) },
    handler,
  );
  return { port: server.addr.port, [Symbol.asyncDispose]: () => server.shutdown() };
}

/** Everything that a server at the hub's port sends to these bytes, until it closes or `isEnough`. */
export async function rawExchange(port: number, text: string, isEnough: (got: string) => boolean): Promise<string> {
  using conn = await Deno.connect({ hostname: "127.0.0.1", port });
  await conn.write(new TextEncoder().encode(text));
  const buffer = new Uint8Array(64 * 1024);
  let got = "";
  const read = async () => {
    while (!isEnough(got)) {
      const count = await conn.read(buffer);
      if (count === null) return;
      got += new TextDecoder().decode(buffer.subarray(0, count));
    }
  };
  await within(read(), "the raw answer");
  return got;
}

/** Resident memory of a process in MB. */
export function rssMb(pid: number): number {
  const kb = /^VmRSS:\s+(\d+) kB$/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1];
  return Number(kb ?? 0) / 1024;
}
