/** Which isolate holds a runner's data link. */
import { keys } from "@/lib/kv/keys.ts";
import type { OwnerRow } from "@/lib/session/rows.ts";

/** Of a runner's link; null as isolateId: it has none now. */
export interface LinkRow {
  linkEpoch: number;
  isolateId: string | null;
  /** Where other isolates reach that one; null: by the mesh only. */
  url: string | null;
}

/** Identity of one registration of a runner's link: an older one changes nothing any more. */
export interface LinkLease {
  runnerId: string;
  userId: string;
  linkEpoch: number;
}

const maxAttempts = 20;

export class LinkStore {
  readonly #kv: Deno.Kv;

  constructor(kv: Deno.Kv) {
    this.#kv = kv;
  }

  /**
   * Records that an isolate holds the runner's link from now on. Null: this user has no such runner (never registered, deleted, or
   * another user's).
   */
  async register(userId: string, isolateId: string, url: string | null, runnerId: string): Promise<LinkLease | null> {
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      const [owner, old] = await this.#kv.getMany<[OwnerRow, LinkRow]>([
        keys.runner.owner(runnerId),
        keys.runner.link(runnerId),
      ]);
      if (owner.value?.userId !== userId) return null;
      const linkEpoch = (old.value?.linkEpoch ?? 0) + 1;
      const row: LinkRow = { linkEpoch, isolateId, url };
      if ((await this.#kv.atomic().check(owner, old).set(old.key, row).commit()).ok) {
        return { runnerId, userId, linkEpoch };
      }
    }
    throw new Error(`the link of runner ${runnerId}: ${maxAttempts} registrations in a row were overtaken by others`);
  }

  /** The link is gone; ignored unless the lease is the current one. */
  async release({ runnerId, linkEpoch }: LinkLease): Promise<void> {
    const old = await this.#kv.get<LinkRow>(keys.runner.link(runnerId));
    if (old.value?.linkEpoch !== linkEpoch) return;
    const row: LinkRow = { linkEpoch, isolateId: null, url: null };
    // A failed check: a newer registration came in between.
    await this.#kv.atomic().check(old).set(old.key, row).commit();
  }

  /** The isolate that registered the link last, whether it lives or not, and its URL; null when there is no link. */
  async holderOf(runnerId: string): Promise<{ isolateId: string; url: string | null } | null> {
    const { value } = await this.#kv.get<LinkRow>(keys.runner.link(runnerId));
    return value?.isolateId == null ? null : { isolateId: value.isolateId, url: value.url };
  }
}
