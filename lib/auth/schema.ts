/** The tables of the accounts: better-auth's own (user, account, session, verification) and ours. */
import type { TableSpec } from "./tables.ts";
import type { Row } from "./where.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

/** KV drops a row a day after it expired, so that until then "expired" can be told from "never was". */
function dayAfterExpiry(row: Row): number | null {
  const { expiresAt } = row;
  if (expiresAt instanceof Date) return expiresAt.getTime() + DAY_MS;
  return typeof expiresAt === "number" ? expiresAt + DAY_MS : null;
}

export const tableSpecs: Readonly<Record<string, TableSpec>> = {
  user: { unique: [["email"]] },
  account: { unique: [["providerId", "accountId"]], indexes: ["userId"] },
  session: { unique: [["token"]], indexes: ["userId"], dropAt: dayAfterExpiry },
  // Not unique: better-auth allows several rows of one identifier, of which the newest counts.
  verification: { indexes: ["identifier"], dropAt: dayAfterExpiry },
  apiKey: { unique: [["hash"]], indexes: ["userId"] },
  invite: { unique: [["hash"]], indexes: ["createdBy"], dropAt: dayAfterExpiry },
  device: { unique: [["deviceHash"], ["userCodeHash"]], dropAt: dayAfterExpiry },
  enrollment: { unique: [["hash"]], dropAt: dayAfterExpiry },
};
