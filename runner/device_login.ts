/** Getting a key from the hub: the device flow of `perch login`, and the enrollment of the runner beside a new hub. */
import * as z from "zod";
import { errorText } from "./log.ts";

const DeviceCode = z.object({
  deviceCode: z.string().min(1),
  userCode: z.string().min(1),
  verificationPath: z.string().startsWith("/"),
  expiresAt: z.number(),
  intervalMs: z.number().int().positive().max(60_000),
});
export type DeviceCode = z.infer<typeof DeviceCode>;

const Grant = z.object({ apiKey: z.string().min(1), userName: z.string() });
export type Grant = z.infer<typeof Grant>;

/** The hub said no, or cannot be talked to; the message is for the person. */
export class LoginError extends Error {
  override name = "LoginError";
}

/** Asks the hub for a code that a signed-in person can approve. `hubUrl` has no trailing slash. */
export async function requestDeviceCode(hubUrl: string, clientName: string, signal: AbortSignal): Promise<DeviceCode> {
  const response = await post(`${hubUrl}/api/device`, { clientName }, signal);
  if (!response.ok) throw await refused(hubUrl, response);
  return await readBody(hubUrl, response, DeviceCode);
}

/** Waits until the code is approved. Throws LoginError when it is denied or runs out. */
export async function waitForApproval(hubUrl: string, code: DeviceCode, signal: AbortSignal): Promise<Grant> {
  while (Date.now() < code.expiresAt) {
    const response = await post(`${hubUrl}/api/device/token`, { deviceCode: code.deviceCode }, signal);
    if (response.status === 200) return await readBody(hubUrl, response, Grant);
    await response.body?.cancel();
    if (response.status === 403) throw new LoginError("the login was denied on the hub");
    if (response.status === 410 || response.status === 404) break;
    if (response.status !== 202 && response.status !== 429) {
      throw new LoginError(`the hub ${hubUrl} answered ${response.status} while waiting for approval`);
    }
    await delay(code.intervalMs, signal);
  }
  throw new LoginError("the login code has run out; run perch login again");
}

/**
 * Waits until the hub's first account exists and takes that account's key, once. Keeps trying while the hub cannot be reached. Throws
 * LoginError when the token is refused.
 */
export async function enroll(hubUrl: string, token: string, signal: AbortSignal, retryMs = 1_000): Promise<Grant> {
  while (true) {
    let response: Response;
    try {
      response = await post(`${hubUrl}/api/device/enroll`, { token }, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      await delay(retryMs, signal);
      continue;
    }
    if (response.status === 200) return await readBody(hubUrl, response, Grant);
    await response.body?.cancel();
    if (response.status >= 500 || response.status === 429) await delay(retryMs, signal);
    else if (response.status !== 202) {
      throw new LoginError(`the hub ${hubUrl} refuses this runner's enrollment (${response.status})`);
    }
  }
}

async function post(url: string, body: unknown, signal: AbortSignal): Promise<Response> {
  try {
    return await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      redirect: "error",
      signal,
    });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new LoginError(`cannot reach the hub at ${new URL(url).origin}: ${errorText(error)}`);
  }
}

async function refused(hubUrl: string, response: Response): Promise<LoginError> {
  const text = (await response.text()).slice(0, 300);
  if (response.status === 404) return new LoginError(`${hubUrl} does not seem to be a Perch hub (404)`);
  return new LoginError(`the hub ${hubUrl} answered ${response.status}: ${text}`);
}

async function readBody<T>(hubUrl: string, response: Response, schema: z.ZodType<T>): Promise<T> {
  try {
    return schema.parse(await response.json());
  } catch {
    throw new LoginError(
      `the hub ${hubUrl} sent an answer that this program does not understand; update the older of the two`,
    );
  }
}

function delay(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", aborted, { once: true });
    function done(): void {
      signal.removeEventListener("abort", aborted);
      resolve();
    }
    function aborted(): void {
      clearTimeout(timer);
      reject(signal.reason);
    }
  });
}
