/**
 * How a machine gets an API key without a person copying one:
 *
 * - **Device login** (`perch login <hub-url>`, after RFC 8628): the machine asks for a pair of codes, shows the short one,
 *   a signed-in person approves it at `/device`, and the machine redeems the long one, once.
 * - **Enrollment** of the hub's own runner: the hub hands the runner a one-time token when it starts it. While there is no
 *   account the runner waits with it; then it gets a key of the first account's user, once.
 */
import * as z from "zod";
import { FIRST_KEY } from "./accounts.ts";
import type { ApiKeys } from "./api_keys.ts";
import { AuthError } from "./errors.ts";
import { normalizeUserCode, randomSecret, randomUserCode, sha256 } from "./secrets.ts";
import { type Stored, type Tables, UniqueError } from "./tables.ts";

export const DEVICE_TTL_MS = 10 * 60 * 1000;
/** How long a machine should wait between two polls. */
export const DEVICE_INTERVAL_MS = 2_000;
/** An enrollment waits at most this long for the first account to be made. */
export const ENROLLMENT_TTL_MS = 30 * 24 * 60 * 60 * 1000;
/** Longest that one enrollment request is held open. */
export const ENROLLMENT_POLL_MS = 25_000;
/** Enrollment requests held open at once; further ones are answered "pending" immediately. */
const ENROLLMENT_WAITING_MAX = 16;

/** What the person who approves is shown. */
export interface DeviceRequest {
  clientName: string;
  createdAt: number;
  expiresAt: number;
  /** Address that the request came from. */
  ip: string;
  status: "pending" | "approved" | "denied" | "used";
}

/** The answer to a poll. The key is in it exactly once. */
export type Redemption = { status: "pending" } | { status: "granted"; apiKey: string; userName: string };

const DeviceRow = z.object({
  id: z.string(),
  clientName: z.string(),
  ip: z.string(),
  createdAt: z.number(),
  expiresAt: z.number(),
  status: z.enum(["pending", "approved", "denied", "used"]),
  userId: z.string().nullable(),
});

export class Devices {
  readonly #tables: Tables;
  readonly #keys: ApiKeys;
  readonly #closing = new AbortController();
  #waiting = 0;

  constructor(tables: Tables, keys: ApiKeys) {
    this.#tables = tables;
    this.#keys = keys;
  }

  /** Starts a device login. Both codes are returned in clear this once. */
  async start(clientName: string, ip: string): Promise<{ deviceCode: string; userCode: string; expiresAt: number }> {
    const createdAt = Date.now();
    const expiresAt = createdAt + DEVICE_TTL_MS;
    const deviceCode = randomSecret();
    for (;;) {
      const userCode = randomUserCode();
      try {
        await this.#tables.insert("device", {
          ...{ id: crypto.randomUUID(), clientName, ip, createdAt, expiresAt, status: "pending", userId: null },
          deviceHash: sha256(deviceCode),
          userCodeHash: sha256(userCode),
        });
        return { deviceCode, userCode, expiresAt };
      } catch (error) {
        if (!(error instanceof UniqueError)) throw error;
      }
    }
  }

  /** What the code asks for. Error: `not_found` (404) when it is unknown or has expired. */
  async info(userCode: string): Promise<DeviceRequest> {
    const { row } = await this.#byUserCode(userCode);
    const { clientName, createdAt, expiresAt, ip, status } = DeviceRow.parse(row);
    return { clientName, createdAt, expiresAt, ip, status };
  }

  /** Approves or denies, in the name of a user; the first decision counts. Errors: `not_found` (404), `conflict` (409). */
  async decide(userCode: string, userId: string, isApproved: boolean): Promise<void> {
    const stored = await this.#byUserCode(userCode);
    const decided = { ...stored.row, status: isApproved ? "approved" : "denied", userId };
    const isPending = stored.row.status === "pending";
    if (isPending && await this.#tables.begin().replace("device", stored, decided).commit()) return;
    throw new AuthError(409, "conflict", "This code was approved or denied already");
  }

  /**
   * Redeems an approved login for an API key, exactly once. Errors: `device_denied` (403), `device_code_unknown` (404),
   * `device_code_expired` and `device_code_used` (410).
   */
  async redeem(deviceCode: string): Promise<Redemption> {
    const stored = await this.#tables.selectOne("device", [{ field: "deviceHash", value: sha256(deviceCode) }]);
    if (stored === null) {
      throw new AuthError(404, "device_code_unknown", "This device code was never issued; start over");
    }
    const { status, userId, expiresAt, clientName } = DeviceRow.parse(stored.row);
    if (status === "used") throw codeUsed();
    if (status === "denied") throw new AuthError(403, "device_denied", "The login was denied in the browser");
    if (expiresAt <= Date.now()) {
      throw new AuthError(410, "device_code_expired", "The login was not approved in time; start over");
    }
    if (status === "pending" || userId === null) return { status: "pending" };
    await this.#keys.ensureRoom(userId);
    const commit = this.#tables.begin().replace("device", stored, { ...stored.row, status: "used" });
    const { key } = this.#keys.stage(commit, userId, { name: clientName });
    if (!await commit.commit()) throw codeUsed();
    return { status: "granted", apiKey: key, userName: await this.#userName(userId) };
  }

  /** Makes a one-time token for the runner that this hub starts. Only its hash is stored. */
  async issueEnrollment(): Promise<string> {
    const token = randomSecret();
    const createdAt = Date.now();
    await this.#tables.insert("enrollment", {
      ...{ id: crypto.randomUUID(), hash: sha256(token) },
      ...{ createdAt, expiresAt: createdAt + ENROLLMENT_TTL_MS },
    });
    return token;
  }

  /**
   * Exchanges an enrollment token for a key of the first account's user, exactly once. While there is no account, waits
   * up to `timeoutMs` for one and then answers `pending`. Error: `enrollment_invalid` (403), unknown, used or expired.
   */
  async enroll(
    token: string,
    clientName: string,
    options: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<Redemption> {
    const enrollment = await this.#tables.selectOne("enrollment", [
      { field: "hash", value: sha256(token) },
      { field: "expiresAt", operator: "gt", value: Date.now() },
    ]);
    if (enrollment === null) throw enrollmentInvalid();
    const signal = AbortSignal.any([this.#closing.signal, ...(options.signal === undefined ? [] : [options.signal])]);
    const userId = await this.#firstUserId(options.timeoutMs ?? ENROLLMENT_POLL_MS, signal);
    if (userId === null || signal.aborted) return { status: "pending" };
    await this.#keys.ensureRoom(userId);
    const commit = this.#tables.begin().remove("enrollment", enrollment);
    const { key } = this.#keys.stage(commit, userId, { name: clientName });
    if (!await commit.commit()) throw enrollmentInvalid();
    return { status: "granted", apiKey: key, userName: await this.#userName(userId) };
  }

  /** Answers every request that is held open. */
  close(): void {
    this.#closing.abort();
  }

  async #byUserCode(userCode: string): Promise<Stored> {
    const stored = await this.#tables.selectOne("device", [
      { field: "userCodeHash", value: sha256(normalizeUserCode(userCode)) },
      { field: "expiresAt", operator: "gt", value: Date.now() },
    ]);
    if (stored !== null) return stored;
    const message = "This code is not known or has expired; check it against the machine that shows it";
    throw new AuthError(404, "not_found", message, { field: "userCode" });
  }

  async #userName(userId: string): Promise<string> {
    return z.string().parse((await this.#tables.get("user", userId))?.row.name);
  }

  /** The first account's user, waiting for it to be made; null when the time is up. */
  async #firstUserId(timeoutMs: number, signal: AbortSignal): Promise<string | null> {
    const current = (await this.#tables.kv.get<string>(FIRST_KEY)).value;
    if (current !== null || this.#waiting >= ENROLLMENT_WAITING_MAX || signal.aborted) return current;
    this.#waiting++;
    const reader = this.#tables.kv.watch<[string]>([FIRST_KEY]).getReader();
    const stop = () => void reader.cancel();
    const timer = setTimeout(stop, timeoutMs);
    signal.addEventListener("abort", stop, { once: true });
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return null;
        if (value[0].value !== null) return value[0].value;
      }
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      await reader.cancel();
      this.#waiting--;
    }
  }
}

function codeUsed(): AuthError {
  return new AuthError(410, "device_code_used", "This login was completed already; start over to get another key");
}

function enrollmentInvalid(): AuthError {
  const message = "This enrollment token is not valid (any more); restart the hub to get a new one";
  return new AuthError(403, "enrollment_invalid", message, { field: "token" });
}
