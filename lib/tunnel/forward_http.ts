/** One HTTP request through a tunnel, as the hub carries it. */
import { type HubLinks, type LinkStream, StreamResetError } from "@/protocol/link/types.ts";
import { type AnswerHead, HeadDecoder, isMethod, isTarget, letGo } from "@/protocol/tunnel.ts";
import { readerOf } from "./body_reader.ts";
import { answerHeaders, type Passage, requestHeaders, RequestRefusal } from "./headers.ts";
import type { Passing } from "./live_tunnel.ts";
import { plainPage } from "./pages.ts";
import type { TunnelRow } from "./rows.ts";

export interface Forwarding {
  req: Request;
  row: TunnelRow;
  /** The target that the local server gets, as the client sent it. */
  target: string;
  passage: Passage;
  passing: Passing;
  links: HubLinks;
}

/** Answers that have no body whatever they say of it (RFC 9110). */
const bodiless: ReadonlySet<number> = new Set([101, 204, 205, 304]);

/** Passes a request on and answers with what the local server says. Never rejects: what goes wrong is a 4xx or 502 page. */
export async function forwardHttp({ req, row, target, passage, passing, links }: Forwarding): Promise<Response> {
  // A page of the hub's own is all there is to say: the request is over, and its place free for the next one.
  const over = (page: Response) => {
    passing.done(page.status);
    return page;
  };
  let stream: LinkStream;
  try {
    if (!isMethod(req.method)) throw new RequestRefusal("this method cannot go through a tunnel");
    if (!isTarget(target)) throw new RequestRefusal("the path of the request is not valid");
    stream = await links.open(row.runnerId, {
      kind: "http",
      tunnelId: row.tunnelId,
      port: row.port,
      method: req.method,
      target,
      headers: requestHeaders(req, passage),
    });
  } catch (error) {
    return over(
      error instanceof RequestRefusal
        ? plainPage(400, "This request cannot be passed on", error.message)
        : failure(error, row),
    );
  }
  const abort = () => stream.reset("cancelled");
  passing.cut.whenMade(abort);
  if (req.signal.aborted) abort();
  req.signal.addEventListener("abort", abort, { once: true });
  const upload = sendBody(req, stream, passing);
  let first: { head: AnswerHead; rest: Uint8Array };
  try {
    first = await readHead(stream);
  } catch (error) {
    upload.stop();
    stream.reset("cancelled");
    return over(failure(error, row));
  }
  const { status, headers } = first.head;
  if (status < 200) {
    stream.reset("protocol_error");
    return over(plainPage(502, "The local server changed the protocol", "it answered a plain request with an upgrade"));
  }
  const init: ResponseInit = { status, headers: answerHeaders(headers, passage) };
  if (req.method === "HEAD" || bodiless.has(status)) {
    upload.stop();
    await finish(stream);
    passing.done(status);
    return new Response(null, init);
  }
  const length = headers.find(([name]) => name === "content-length")?.[1];
  if (length !== undefined && Number(length) === first.rest.byteLength) {
    upload.stop();
    const paced = passing.pace(first.rest.byteLength);
    if (paced !== null) await paced;
    passing.done(status);
    void finish(stream);
    return new Response(first.rest as Uint8Array<ArrayBuffer>, init);
  }
  return new Response(bodyOf(stream, first.rest, upload, passing, status), init);
}

/** The body as fast as the client takes it. A break on the other side breaks it here, so that nobody takes it for the end. */
function bodyOf(
  stream: LinkStream,
  rest: Uint8Array,
  upload: { stop(): void },
  passing: Passing,
  status: number,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  let first: Uint8Array | null = rest.byteLength === 0 ? null : rest;
  let given: Uint8Array | null = null;
  return new ReadableStream({
    async pull(controller) {
      try {
        // What was given before is in the runtime's hands by now, which holds its memory for itself.
        if (given !== null) letGo(given);
        given = null;
        const bytes = first ?? await stream.read();
        first = null;
        if (bytes === null) {
          upload.stop();
          stream.end();
          passing.done(status);
          controller.close();
          return;
        }
        const paced = passing.pace(bytes.byteLength);
        if (paced !== null) await paced;
        if (bytes !== rest) given = bytes;
        controller.enqueue(bytes as Uint8Array<ArrayBuffer>);
      } catch (error) {
        upload.stop();
        passing.done(status);
        controller.error(error);
      }
    },
    cancel() {
      upload.stop();
      passing.done(status);
      stream.reset("cancelled");
    },
  }, { highWaterMark: 0 });
}

/** Sends the request's body while the answer is awaited; `stop` gives up what is left of it. */
function sendBody(req: Request, stream: LinkStream, passing: Passing): { stop(): void } {
  if (req.body === null) {
    stream.end();
    return { stop() {} };
  }
  const reader = readerOf(req.body, req.headers.get("content-length"));
  let isStopped = false;
  const send = async () => {
    try {
      for (let bytes = await reader.read(); bytes !== null && !isStopped; bytes = await reader.read()) {
        const paced = passing.pace(bytes.byteLength);
        if (paced !== null) await paced;
        await stream.write(bytes);
      }
      stream.end();
    } catch (error) {
      // The client went away in the middle of its body: the local server must not take it for the whole.
      if (!isStopped && !(error instanceof StreamResetError)) stream.reset("cancelled");
      else stream.end();
    }
  };
  void send();
  return {
    stop() {
      if (isStopped) return;
      isStopped = true;
      reader.cancel().catch(() => {});
    },
  };
}

/** The answer's head and what came with it. Rejects with StreamResetError or TunnelBytesError. */
export async function readHead(stream: LinkStream): Promise<{ head: AnswerHead; rest: Uint8Array }> {
  const decoder = new HeadDecoder();
  for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) {
    const found = decoder.push(bytes);
    if (found !== null) return found;
  }
  throw new StreamResetError("internal", "the runner ended the stream without an answer");
}

/** Takes what is left of a stream that has nothing more to say; a runner that says more is cut. */
async function finish(stream: LinkStream): Promise<void> {
  stream.end();
  try {
    if (await stream.read() !== null) stream.reset("protocol_error");
  } catch {
    // It is over either way.
  }
}

/** What to say of a stream that could not be opened, or ended before its head. */
export function failure(error: unknown, { port, host }: TunnelRow): Response {
  const where = host === null ? `port ${port}` : `${host}:${port}`;
  const code = error instanceof StreamResetError ? error.code : "internal";
  const reason = error instanceof Error ? error.message : "";
  switch (code) {
    case "refused":
      return plainPage(502, "Not exposed", `the runner does not expose ${where}; open the tunnel again`);
    case "unreachable":
    case "link_lost":
      return plainPage(502, "Nothing answers there", reason);
    case "too_many_streams":
      return plainPage(503, "Too many requests at once", "this runner's link carries as many as it may", 1);
    case "cancelled":
      return plainPage(499, "Cancelled", "the request was given up");
    default:
      return plainPage(502, "The local server cannot be used", reason);
  }
}
