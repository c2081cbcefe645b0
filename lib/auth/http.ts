/**
 * The REST API of the accounts as plain functions of a request; `routes/api/*` only picks the function. Answers are JSON;
 * errors are `{error: {code, message, field?}}`. State-changing ones check Origin. Only a browser's session may manage
 * the account, its keys, invites and device logins: an API key may not make another.
 */
import * as z from "zod";
import type { Principal } from "@/lib/principal.ts";
import { KEY_NAME_MAX } from "./api_keys.ts";
import { DEVICE_INTERVAL_MS } from "./devices.ts";
import { AuthError } from "./errors.ts";
import type { Auth, SignedIn } from "./mod.ts";
import { checkOrigin } from "./origin.ts";
import { addressSubject, type RateRule } from "./rate_limit.ts";
import { sha256 } from "./secrets.ts";

/** One request to the accounts. */
export interface AuthCall {
  req: Request;
  auth: Auth;
  /** Address of the connection's other end; behind a trusted proxy (PERCH_TRUST_PROXY), the one that the proxy names. */
  peer: string;
}

const BODY_BYTES_MAX = 16 * 1024;
const MINUTE_MS = 60_000;

/** Wrong attempts only: a successful sign-in gives its attempt back. */
const SIGN_IN_PER_ACCOUNT: RateRule = { name: "sign-in", max: 10, windowMs: 10 * MINUTE_MS };
const SIGN_IN_PER_ADDRESS: RateRule = { name: "sign-in-address", max: 100, windowMs: 10 * MINUTE_MS };
const SIGN_UP: RateRule = { name: "sign-up", max: 30, windowMs: 10 * MINUTE_MS };
const CHANGE_PASSWORD: RateRule = { name: "change-password", max: 10, windowMs: 10 * MINUTE_MS };
const DEVICE_START: RateRule = { name: "device-start", max: 20, windowMs: 10 * MINUTE_MS };
const DEVICE_START_ALL: RateRule = { name: "device-start-all", max: 500, windowMs: 10 * MINUTE_MS };
const DEVICE_POLL: RateRule = { name: "device-poll", max: 60, windowMs: MINUTE_MS };
const DEVICE_POLL_ADDRESS: RateRule = { name: "device-poll-address", max: 600, windowMs: MINUTE_MS };
/** Wrong user codes only: a known one gives its attempt back. */
const DEVICE_CODE_GUESS: RateRule = { name: "device-code", max: 20, windowMs: 10 * MINUTE_MS };

const Text = z.string().max(1_024);
const Secret = z.string().min(1).max(256);
const ClientName = z.string().trim().min(1).max(KEY_NAME_MAX).regex(/^\P{Cc}*$/u, "must be one line");
const AccountBody = z.object({ name: Text, email: Text, password: Text });
const SetupBody = AccountBody.extend({ token: Secret });
const SignUpBody = AccountBody.extend({ inviteToken: Secret.optional() });
const SignInBody = z.object({ email: Text, password: Text });
const ChangePasswordBody = z.object({ currentPassword: Text, newPassword: Text });
const RevokeSessionBody = z.object({ id: z.string().min(1).max(128) });
const KeyBody = z.object({ name: Text, expiresInDays: z.number().optional() });
const InviteBody = z.object({ email: Text.optional(), expiresInMs: z.number().optional() });
const DeviceBody = z.object({ clientName: ClientName });
const DeviceCodeBody = z.object({ deviceCode: Secret });
const DecisionBody = z.object({ userCode: z.string().min(1).max(32), approve: z.boolean() });
const EnrollBody = z.object({ token: Secret, clientName: ClientName.default("local runner") });

/** `GET /api/signup-status` → `{needsSetup, isOpen}`. */
export function signupStatus(call: AuthCall): Promise<Response> {
  return answer(async () => json(await call.auth.accounts.status()));
}

/** `POST /api/setup {token, name, email, password}` → 201 `{user}` and the session cookie. */
export function setUp(call: AuthCall): Promise<Response> {
  return answer(async () => {
    const { token, ...input } = await readBody(call, SetupBody);
    await call.auth.accounts.setUp(token, input);
    return await signedIn(call, input, 201);
  });
}

/** `POST /api/auth/sign-up/email {name, email, password, inviteToken?}` → 201 `{user}` and the session cookie. */
export function signUp(call: AuthCall): Promise<Response> {
  return answer(async () => {
    const { inviteToken, ...input } = await readBody(call, SignUpBody);
    await call.auth.rates.take(SIGN_UP, addressSubject(call.peer));
    await call.auth.accounts.signUp(input, inviteToken);
    return await signedIn(call, input, 201);
  });
}

/** `POST /api/auth/sign-in/email {email, password}` → `{user}` and the session cookie. */
export function signIn(call: AuthCall): Promise<Response> {
  return answer(async () => {
    const input = await readBody(call, SignInBody);
    const { rates } = call.auth;
    const address = addressSubject(call.peer);
    const account = sha256(`${address} ${input.email.trim().toLowerCase()}`);
    await rates.take(SIGN_IN_PER_ADDRESS, address);
    await rates.take(SIGN_IN_PER_ACCOUNT, account);
    const response = await signedIn(call, input, 200);
    await Promise.all([rates.giveBack(SIGN_IN_PER_ADDRESS, address), rates.giveBack(SIGN_IN_PER_ACCOUNT, account)]);
    return response;
  });
}

/** `POST /api/auth/sign-out` → `{success: true}`, and the cookie cleared. */
export function signOut(call: AuthCall): Promise<Response> {
  return answer(async () => {
    guardOrigin(call);
    return json({ success: true }, 200, await call.auth.signOut(call.req));
  });
}

/** `GET /api/auth/get-session` → `{session: {id, expiresAt}, user: {id, name, email}}` or `null`. Keeps a session from ageing. */
export function getSession(call: AuthCall): Promise<Response> {
  return answer(async () => {
    const { current, headers } = await call.auth.getSession(call.req);
    if (current === null) return json(null, 200, headers);
    const { sessionId, expiresAt, ...user } = current;
    return json({ session: { id: sessionId, expiresAt }, user }, 200, headers);
  });
}

/** `POST /api/auth/change-password {currentPassword, newPassword}` → `{success: true}`; ends the user's other sessions. */
export function changePassword(call: AuthCall): Promise<Response> {
  return answer(async () => {
    const principal = await requireSession(call);
    const { currentPassword, newPassword } = await readBody(call, ChangePasswordBody);
    await call.auth.rates.take(CHANGE_PASSWORD, principal.userId);
    await call.auth.changePassword(call.req, principal, currentPassword, newPassword);
    return json({ success: true });
  });
}

/** `GET /api/auth/list-sessions` → `{sessions: SessionListing[]}`, without tokens. */
export function listSessions(call: AuthCall): Promise<Response> {
  return answer(async () => json({ sessions: await call.auth.listSessions(await requireSession(call)) }));
}

/** `POST /api/auth/revoke-session {id}` → `{success: true}`. */
export function revokeSession(call: AuthCall): Promise<Response> {
  return answer(async () => {
    const { userId } = await requireSession(call);
    const { id } = await readBody(call, RevokeSessionBody);
    await call.auth.revokeSession(userId, id);
    return json({ success: true });
  });
}

/** The endpoints below `/api/auth/`: better-auth's names, as far as Perch uses them. Everything else is 404. */
export function authEndpoint(call: AuthCall, path: string): Promise<Response> {
  switch (`${call.req.method} ${path}`) {
    case "POST sign-in/email":
      return signIn(call);
    case "POST sign-up/email":
      return signUp(call);
    case "POST sign-out":
      return signOut(call);
    case "GET get-session":
      return getSession(call);
    case "POST change-password":
      return changePassword(call);
    case "GET list-sessions":
      return listSessions(call);
    case "POST revoke-session":
      return revokeSession(call);
    default:
      return answer(() => Promise.reject(new AuthError(404, "not_found", "There is no such endpoint")));
  }
}

/** `GET /api/account` → `{userId, userName, credential: "session" | "key"}`; also for API keys, to check one. */
export function whoAmI(call: AuthCall): Promise<Response> {
  return answer(async () => {
    const { userId, userName, credential } = await requireAny(call);
    return json({ userId, userName, credential: credential.kind });
  });
}

/** `GET /api/keys` → `{keys: ApiKeyInfo[]}`. */
export function listKeys(call: AuthCall): Promise<Response> {
  return answer(async () => json({ keys: await call.auth.keys.list((await requireSession(call)).userId) }));
}

/** `POST /api/keys {name, expiresInDays?}` → 201 `{id, name, key}`; the key is shown this once. */
export function createKey(call: AuthCall): Promise<Response> {
  return answer(async () => {
    const { userId } = await requireSession(call);
    return json(await call.auth.keys.create(userId, await readBody(call, KeyBody)), 201);
  });
}

/** `DELETE /api/keys/:id` → 204. */
export function revokeKey(call: AuthCall, keyId: string): Promise<Response> {
  return answer(async () => {
    guardOrigin(call);
    await call.auth.keys.revoke((await requireSession(call)).userId, keyId);
    return noContent();
  });
}

/** `GET /api/invites` → `{invites: Invite[]}`: the open ones of this user. */
export function listInvites(call: AuthCall): Promise<Response> {
  return answer(async () =>
    json({ invites: await call.auth.accounts.listInvites((await requireSession(call)).userId) })
  );
}

/** `POST /api/invites {email?, expiresInMs?}` → 201 `{inviteId, url, expiresAt}`; the URL (secret in its fragment) is shown this once. */
export function createInvite(call: AuthCall): Promise<Response> {
  return answer(async () => {
    const { userId } = await requireSession(call);
    const { token, inviteId, expiresAt } = await call.auth.accounts.createInvite(
      userId,
      await readBody(call, InviteBody),
    );
    const url = new URL(`/login#invite=${token}`, call.auth.baseUrl).href;
    return json({ inviteId, url, expiresAt }, 201);
  });
}

/** `DELETE /api/invites/:id` → 204. */
export function revokeInvite(call: AuthCall, inviteId: string): Promise<Response> {
  return answer(async () => {
    guardOrigin(call);
    await call.auth.accounts.revokeInvite((await requireSession(call)).userId, inviteId);
    return noContent();
  });
}

/** `POST /api/device {clientName}` → 201 `{deviceCode, userCode, verificationPath, expiresAt, intervalMs}`. */
export function startDevice(call: AuthCall): Promise<Response> {
  return answer(async () => {
    const { clientName } = await readBody(call, DeviceBody);
    await call.auth.rates.take(DEVICE_START, addressSubject(call.peer));
    await call.auth.rates.take(DEVICE_START_ALL, "all");
    const started = await call.auth.devices.start(clientName, call.peer);
    return json({ ...started, verificationPath: "/device", intervalMs: DEVICE_INTERVAL_MS }, 201);
  });
}

/** `GET /api/device/info?code=XXXX-XXXX` → `{clientName, createdAt, expiresAt, ip, status}`. */
export function deviceInfo(call: AuthCall): Promise<Response> {
  return answer(async () => {
    const { userId } = await requireSession(call);
    const code = new URL(call.req.url).searchParams.get("code") ?? "";
    return json(await guessing(call, userId, () => call.auth.devices.info(code)));
  });
}

/** `POST /api/device/approve {userCode, approve}` → `{status: "approved" | "denied"}`. */
export function decideDevice(call: AuthCall): Promise<Response> {
  return answer(async () => {
    const { userId } = await requireSession(call);
    const { userCode, approve } = await readBody(call, DecisionBody);
    await guessing(call, userId, () => call.auth.devices.decide(userCode, userId, approve));
    return json({ status: approve ? "approved" : "denied" });
  });
}

/** `POST /api/device/token {deviceCode}` → 202 `{status: "pending", intervalMs}`, or once 200 `{apiKey, userName}`. */
export function redeemDevice(call: AuthCall): Promise<Response> {
  return answer(async () => {
    const { deviceCode } = await readBody(call, DeviceCodeBody);
    await call.auth.rates.take(DEVICE_POLL_ADDRESS, addressSubject(call.peer));
    await call.auth.rates.take(DEVICE_POLL, sha256(deviceCode));
    const redemption = await call.auth.devices.redeem(deviceCode);
    if (redemption.status === "pending") return json({ status: "pending", intervalMs: DEVICE_INTERVAL_MS }, 202);
    return json({ apiKey: redemption.apiKey, userName: redemption.userName });
  });
}

/**
 * `POST /api/device/enroll {token, clientName?}` → 202 `{status: "pending"}` after up to 25 s while there is no account
 * (ask again), or once 200 `{apiKey, userName}`.
 */
export function enrollDevice(call: AuthCall): Promise<Response> {
  return answer(async () => {
    const { token, clientName } = await readBody(call, EnrollBody);
    await call.auth.rates.take(DEVICE_POLL_ADDRESS, addressSubject(call.peer));
    const redemption = await call.auth.devices.enroll(token, clientName, { signal: call.req.signal });
    if (redemption.status === "pending") return json({ status: "pending" }, 202);
    return json({ apiKey: redemption.apiKey, userName: redemption.userName });
  });
}

/** Runs a lookup by a short code; a wrong code counts as an attempt of this user. */
async function guessing<T>(call: AuthCall, userId: string, lookUp: () => Promise<T>): Promise<T> {
  await call.auth.rates.take(DEVICE_CODE_GUESS, userId);
  const found = await lookUp();
  await call.auth.rates.giveBack(DEVICE_CODE_GUESS, userId);
  return found;
}

async function signedIn(
  call: AuthCall,
  input: { email: string; password: string },
  status: number,
): Promise<Response> {
  const userAgent = call.req.headers.get("user-agent") ?? "";
  const email = input.email.trim().toLowerCase();
  const { user, headers }: SignedIn = await call.auth.signIn(email, input.password, { peer: call.peer, userAgent });
  return json({ user }, status, headers);
}

async function requireAny(call: AuthCall): Promise<Principal> {
  const principal = await call.auth.authenticate(call.req);
  if (principal !== null) return principal;
  throw new AuthError(401, "unauthorized", "Sign in first, or send a valid API key as a Bearer token");
}

async function requireSession(call: AuthCall): Promise<Principal> {
  const principal = await requireAny(call);
  if (principal.credential.kind === "session") return principal;
  throw new AuthError(403, "session_required", "An API key may not do this; sign in with a browser");
}

function guardOrigin({ req, auth }: AuthCall): void {
  checkOrigin(req, { baseUrl: auth.baseUrl, hasCookie: auth.hasSessionCookie(req) });
}

/** The JSON body, checked, after the Origin. */
async function readBody<T>(call: AuthCall, schema: z.ZodType<T>): Promise<T> {
  guardOrigin(call);
  const type = call.req.headers.get("content-type")?.split(";")[0]?.trim().toLowerCase();
  if (type !== "application/json") {
    throw new AuthError(415, "unsupported_media_type", "The body must be JSON, with content-type application/json");
  }
  const result = schema.safeParse(parseJson(await readText(call.req)));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const field = issue?.path.join(".") || undefined;
  throw new AuthError(400, "invalid_field", `${field ?? "The body"}: ${issue?.message ?? "not as expected"}`, {
    field,
  });
}

async function readText(req: Request): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of req.body ?? []) {
    size += chunk.byteLength;
    if (size > BODY_BYTES_MAX) {
      throw new AuthError(413, "too_large", `The body is larger than ${BODY_BYTES_MAX} bytes`);
    }
    chunks.push(chunk);
  }
  return await new Blob(chunks.map((chunk) => new Uint8Array(chunk))).text();
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new AuthError(400, "invalid_json", "The body is not JSON");
  }
}

function json(body: unknown, status = 200, headers: Headers = new Headers()): Response {
  headers.set("cache-control", "no-store");
  return Response.json(body, { status, headers });
}

function noContent(): Response {
  return new Response(null, { status: 204, headers: { "cache-control": "no-store" } });
}

/** Runs a handler and turns {@linkcode AuthError} into its answer. Anything else is a fault of ours and is rethrown. */
async function answer(handle: () => Promise<Response>): Promise<Response> {
  try {
    return await handle();
  } catch (error) {
    if (!(error instanceof AuthError)) throw error;
    const { code, message, field, retryAfterMs } = error;
    const headers = new Headers();
    if (retryAfterMs !== undefined) headers.set("retry-after", String(Math.max(1, Math.ceil(retryAfterMs / 1_000))));
    return json({ error: { code, message, field } }, error.status, headers);
  }
}
