/** What REST routes share: who asks, where from, the body, and errors as `{error: {code, message, field?}}`. */
import type { Context } from "fresh";
import * as z from "zod";
import { type ErrorCode, limits } from "@/protocol/mod.ts";
import { type GatewayContext, GatewayError } from "@/lib/gateway/context.ts";
import { checkOrigin } from "@/lib/gateway/upgrade.ts";
import { errorText } from "@/lib/log.ts";
import type { Principal } from "@/lib/principal.ts";
import type { State } from "@/lib/state.ts";

/** HTTP status of each error code. */
const statuses: Readonly<Record<ErrorCode, number>> = {
  bad_frame: 400,
  invalid_message: 400,
  protocol_version: 400,
  unauthorized: 401,
  not_found: 404,
  conflict: 409,
  gap: 409,
  stale_epoch: 409,
  too_large: 413,
  rate_limited: 429,
  internal: 500,
  unavailable: 503,
};

/** A signed-in request to the API. */
export interface ApiCall {
  ctx: GatewayContext;
  principal: Principal;
  req: Request;
  url: URL;
  params: Record<string, string>;
}

/**
 * Answers an API request: 401 without a credential; 403 for a state-changing request that another site made a browser
 * send; else what `handle` gives, a Response as it is and anything else as JSON, or its GatewayError with the status of its code.
 */
export async function answerApi(
  { req, url, params, state }: Context<State>,
  handle: (call: ApiCall) => Promise<{ status?: number; body: unknown }>,
): Promise<Response> {
  const { hub, principal } = state;
  if (principal === null) return failure(401, "unauthorized", "sign in, or send an API key as a Bearer token");
  if (req.method !== "GET" && req.method !== "HEAD" && principal.credential.kind === "session") {
    const site = req.headers.get("sec-fetch-site");
    const verdict = checkOrigin(req, hub.config);
    if (!verdict.ok) return failure(verdict.status, verdict.code, verdict.message);
    if (req.headers.get("origin") === null && site !== "same-origin" && site !== "none") {
      return failure(
        403,
        "foreign_origin",
        "a request with a cookie must carry Origin; scripts should send an API key",
      );
    }
  }
  try {
    const { status, body } = await handle({ ctx: hub.gateways.context, principal, req, url, params });
    if (body instanceof Response) return body;
    return body === undefined ? new Response(null, { status: 204 }) : Response.json(body, { status: status ?? 200 });
  } catch (error) {
    if (error instanceof GatewayError) {
      return failure(statuses[error.code], error.code, error.message, error.field, error.retryAfterMs);
    }
    hub.log.error("api_failed", { method: req.method, path: url.pathname, error: errorText(error) });
    return failure(503, "unavailable", "the hub cannot do this now; try again");
  }
}

/** The request's JSON body by its schema. Throws `too_large`, or `invalid_message` with the first wrong field. */
export async function readBody<T extends z.core.$ZodType>(req: Request, schema: T): Promise<z.infer<T>> {
  const text = await readText(req);
  let value: unknown;
  try {
    value = JSON.parse(text === "" ? "{}" : text);
  } catch {
    throw new GatewayError("invalid_message", "the body is not JSON", "body");
  }
  return parseInput(schema, value, "body");
}

/** Query parameters by their schema. Throws `invalid_message` with the first wrong one. */
export function readQuery<T extends z.core.$ZodType>(url: URL, schema: T): z.infer<T> {
  return parseInput(schema, Object.fromEntries(url.searchParams), "query");
}

/** A path parameter by its schema; what cannot be one is answered as unknown. */
export function readParam<T extends z.core.$ZodType>(
  params: Record<string, string>,
  name: string,
  schema: T,
): z.infer<T> {
  const parsed = z.safeParse(schema, params[name]);
  if (parsed.success) return parsed.data;
  throw new GatewayError("not_found", `there is no such ${name}`, name);
}

function parseInput<T extends z.core.$ZodType>(schema: T, value: unknown, whole: string): z.infer<T> {
  const parsed = z.safeParse(schema, value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const field = issue?.path.map(String).join(".") || whole;
  throw new GatewayError("invalid_message", `${field}: ${issue?.message ?? "is not valid"}`, field);
}

async function readText(req: Request): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of req.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > limits.frameBytes) {
      throw new GatewayError("too_large", `a body may hold at most ${limits.frameBytes} bytes`, "body");
    }
    chunks.push(chunk);
  }
  return await new Blob(chunks as BlobPart[]).text();
}

function failure(status: number, code: string, message: string, field?: string, retryAfterMs?: number): Response {
  const retry = retryAfterMs === undefined ? {} : { retryAfterMs };
  const headers: HeadersInit = retryAfterMs === undefined
    ? {}
    : { "retry-after": String(Math.ceil(retryAfterMs / 1_000)) };
  const error = { code, message, ...(field === undefined ? {} : { field }), ...retry };
  return Response.json({ error }, { status, headers });
}
