/** How accounts come to be: the set-up link makes the first, invites (or an open sign-up) the others. */
import * as z from "zod";
import { validatePassword } from "@/protocol/mod.ts";
import { AuthError } from "./errors.ts";
import { randomSecret, sha256 } from "./secrets.ts";
import type { Commit, Stored, Tables } from "./tables.ts";
import type { Row } from "./where.ts";

const SETUP_KEY: Deno.KvKey = ["auth", "setup"];
/** Holds the id of the first account's user; its absence means that the hub is not set up. */
export const FIRST_KEY: Deno.KvKey = ["auth", "first"];

/** Set-up links that are valid at a time: one for each process of a cluster, and some to spare. */
const SETUP_LINKS = 16;

export const INVITE_TTL_MS = 7 * 24 * 60 * 60 * 1000;
export const INVITE_TTL_MAX_MS = 30 * 24 * 60 * 60 * 1000;
/** Open invites of one person. */
export const INVITES_MAX = 100;
const NAME_MAX = 100;
const EMAIL_MAX = 254;

/** What a person types to get an account. */
export interface AccountInput {
  name: string;
  email: string;
  password: string;
}

/** An invite as its maker sees it. The token itself is shown once, at creation. */
export interface Invite {
  inviteId: string;
  /** The only address that may use it; null lets any. */
  email: string | null;
  createdAt: number;
  expiresAt: number;
}

export class Accounts {
  readonly #tables: Tables;
  readonly #hash: (password: string) => Promise<string>;
  readonly #isSignupOpen: boolean;

  constructor(tables: Tables, options: { hash: (password: string) => Promise<string>; isSignupOpen: boolean }) {
    this.#tables = tables;
    this.#hash = options.hash;
    this.#isSignupOpen = options.isSignupOpen;
  }

  /** Whether there is no account yet, and whether anybody may make one without an invite. */
  async status(): Promise<{ needsSetup: boolean; isOpen: boolean }> {
    const needsSetup = await this.firstUserId() === null;
    return { needsSetup, isOpen: !needsSetup && this.#isSignupOpen };
  }

  /** The user of the first account; null while there is none. */
  async firstUserId(): Promise<string | null> {
    return (await this.#tables.kv.get<string>(FIRST_KEY)).value;
  }

  /**
   * Makes a set-up token; null when there is an account. Only its hash is stored. Each process of a cluster prints a link of
   * its own at start, and whoever follows any of them must get in: the newest SETUP_LINKS are valid until one was used.
   */
  async issueSetupToken(): Promise<string | null> {
    const { kv } = this.#tables;
    const token = randomSecret();
    for (;;) {
      const [first, setup] = await kv.getMany<[string, string[]]>([FIRST_KEY, SETUP_KEY]);
      if (first.value !== null) return null;
      const hashes = [...setup.value ?? [], sha256(token)].slice(-SETUP_LINKS);
      // A failed check: another process issued its own, or the first account was made, at the same moment.
      if ((await kv.atomic().check(first, setup).set(SETUP_KEY, hashes).commit()).ok) return token;
    }
  }

  /**
   * Makes the first account, exactly once however many try at the same time. Errors: `already_set_up` (409),
   * `setup_token_invalid` (403) and those of the fields.
   */
  async setUp(token: string, input: AccountInput): Promise<void> {
    const kv = this.#tables.kv;
    let passwordHash: string | null = null;
    for (;;) {
      const [first, setup] = await kv.getMany<[string, string[]]>([FIRST_KEY, SETUP_KEY]);
      if (first.value !== null) throw alreadySetUp();
      if (!setup.value?.includes(sha256(token))) throw setupTokenInvalid();
      const checked = checkAccount(input);
      passwordHash ??= await this.#hash(checked.password);
      const commit = this.#tables.begin().check(first).check(setup).delete(SETUP_KEY);
      const user = stageAccount(commit, checked, passwordHash);
      // A failed check: somebody else was first, or another process of a cluster that starts issued its link.
      if (await commit.set(FIRST_KEY, user.id).commit()) return;
    }
  }

  /**
   * Makes a further account. Errors: `setup_required`, `signup_closed`, `invite_invalid`, `invite_email_mismatch` (403),
   * `email_taken` (409) and those of the fields. An invite is used up by exactly one account.
   */
  async signUp(input: AccountInput, inviteToken?: string): Promise<void> {
    if (await this.firstUserId() === null) {
      throw new AuthError(
        403,
        "setup_required",
        "This hub has no account yet; open the set-up link that it printed at start",
      );
    }
    const invite = inviteToken === undefined ? null : await this.#openInvite(inviteToken);
    if (invite === null && !this.#isSignupOpen) {
      throw new AuthError(403, "signup_closed", "Sign-up is closed on this hub; ask for an invite");
    }
    const checked = checkAccount(input);
    const invited = invite?.row.email;
    if (typeof invited === "string" && invited !== checked.email) {
      const message = "This invite is for another email address; sign up with the one that it was sent to";
      throw new AuthError(403, "invite_email_mismatch", message, { field: "email" });
    }
    if (await this.#isTaken(checked.email)) throw emailTaken();
    const passwordHash = await this.#hash(checked.password);
    const commit = this.#tables.begin();
    if (invite !== null) commit.remove("invite", invite);
    stageAccount(commit, checked, passwordHash);
    if (await commit.commit()) return;
    throw await this.#isTaken(checked.email) ? emailTaken() : inviteInvalid();
  }

  /** Makes an invite; its token is returned once and stored hashed. Errors: `invalid_field` (400), `too_many` (409). */
  async createInvite(
    userId: string,
    options: { email?: string; expiresInMs?: number } = {},
  ): Promise<Invite & { token: string }> {
    const { expiresInMs = INVITE_TTL_MS } = options;
    if (!Number.isInteger(expiresInMs) || expiresInMs < 60_000 || expiresInMs > INVITE_TTL_MAX_MS) {
      const message = "expiresInMs must be a whole number of milliseconds from a minute (60000) to 30 days";
      throw new AuthError(400, "invalid_field", message, { field: "expiresInMs" });
    }
    const email = options.email === undefined ? null : checkEmail(options.email);
    if ((await this.listInvites(userId)).length >= INVITES_MAX) {
      throw new AuthError(409, "too_many", `There are ${INVITES_MAX} open invites already; revoke one first`);
    }
    const token = randomSecret();
    const createdAt = Date.now();
    const invite = { inviteId: crypto.randomUUID(), email, createdAt, expiresAt: createdAt + expiresInMs };
    const { inviteId: id, ...rest } = invite;
    await this.#tables.insert("invite", { id, ...rest, createdBy: userId, hash: sha256(token) });
    return { ...invite, token };
  }

  /** The open invites that this user made, newest first. */
  async listInvites(userId: string): Promise<Invite[]> {
    const rows = await this.#tables.find("invite", [
      { field: "createdBy", value: userId },
      { field: "expiresAt", operator: "gt", value: Date.now() },
    ], { sortBy: { field: "createdAt", direction: "desc" } });
    return rows.map((row) => InviteRow.parse(row)).map(({ id, ...rest }) => ({ inviteId: id, ...rest }));
  }

  /** Revokes one of this user's invites. Error: `not_found` (404). */
  async revokeInvite(userId: string, inviteId: string): Promise<void> {
    const where = [{ field: "id", value: inviteId }, { field: "createdBy", value: userId }];
    if (await this.#tables.remove("invite", where) !== null) return;
    throw new AuthError(404, "not_found", "There is no such open invite of yours");
  }

  async #openInvite(token: string): Promise<Stored> {
    const invite = await this.#tables.selectOne("invite", [
      { field: "hash", value: sha256(token) },
      { field: "expiresAt", operator: "gt", value: Date.now() },
    ]);
    if (invite === null) throw inviteInvalid();
    return invite;
  }

  async #isTaken(email: string): Promise<boolean> {
    return await this.#tables.selectOne("user", [{ field: "email", value: email }]) !== null;
  }
}

const InviteRow = z.object({
  id: z.string(),
  email: z.string().nullable(),
  createdAt: z.number(),
  expiresAt: z.number(),
});

/** The password with every rule met. Errors: `password_<rule>` (400), for the first rule that is not; the message names all. */
export function checkPassword(password: string, field: string): string {
  const unmet = validatePassword(password).rules.filter((rule) => !rule.isMet);
  const [first] = unmet;
  if (first === undefined) return password;
  const message = `The password needs ${unmet.map((rule) => rule.label).join(", ")}`;
  throw new AuthError(400, `password_${first.id}`, message, { field });
}

/** The address as it is stored: trimmed, lower case. Error: `invalid_email` (400). */
export function checkEmail(email: string): string {
  const result = z.email().max(EMAIL_MAX).safeParse(email.trim().toLowerCase());
  if (result.success) return result.data;
  throw new AuthError(400, "invalid_email", "This is not an email address; expected something like ana@example.com", {
    field: "email",
  });
}

function checkAccount(input: AccountInput): AccountInput {
  const name = input.name.trim();
  if (name === "" || [...name].length > NAME_MAX || /\p{Cc}/u.test(name)) {
    throw new AuthError(400, "invalid_name", `The name must have 1 to ${NAME_MAX} characters on one line`, {
      field: "name",
    });
  }
  return { name, email: checkEmail(input.email), password: checkPassword(input.password, "password") };
}

/** Adds the rows that better-auth's own email sign-up makes. */
function stageAccount(commit: Commit, input: AccountInput, passwordHash: string): Row {
  const now = new Date();
  const times = { createdAt: now, updatedAt: now };
  const { name, email } = input;
  const user: Row = { id: crypto.randomUUID(), name, email, emailVerified: false, image: null, ...times };
  const credential = { userId: user.id, providerId: "credential", accountId: user.id, password: passwordHash };
  commit.insert("user", user).insert("account", { id: crypto.randomUUID(), ...credential, ...times });
  return user;
}

function alreadySetUp(): AuthError {
  return new AuthError(409, "already_set_up", "This hub has its first account already; sign in instead");
}

function setupTokenInvalid(): AuthError {
  const message = "This set-up link is not valid (any more); use the one that the hub printed at its latest start";
  return new AuthError(403, "setup_token_invalid", message, { field: "token" });
}

function inviteInvalid(): AuthError {
  const message = "This invite is not valid: it was used, revoked or has expired; ask for a new one";
  return new AuthError(403, "invite_invalid", message, { field: "inviteToken" });
}

function emailTaken(): AuthError {
  return new AuthError(409, "email_taken", "There is an account with this email address; sign in instead", {
    field: "email",
  });
}
