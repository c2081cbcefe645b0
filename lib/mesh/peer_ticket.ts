/** How one isolate proves to another that it is of the same hub: a short-lived ticket, signed with a secret that only KV knows. */
import { timingSafeEqual } from "node:crypto";
import { keys } from "@/lib/kv/keys.ts";

/** How long a ticket may be used. Covers the connecting and the difference between two machines' clocks. */
const TICKET_MS = 60_000;
const SECRET_BYTES = 32;

const encoder = new TextEncoder();

export class PeerTickets {
  readonly #kv: Deno.Kv;
  readonly #now: () => number;
  #key: Promise<CryptoKey> | null = null;

  constructor(kv: Deno.Kv, now: () => number = Date.now) {
    this.#kv = kv;
    this.#now = now;
  }

  /** A ticket of isolate `from` for isolate `to`. */
  async issue(from: string, to: string): Promise<string> {
    const claim = `${from}.${to}.${this.#now() + TICKET_MS}`;
    return `${claim}.${(await this.#sign(claim)).toHex()}`;
  }

  /** The isolate that a ticket for isolate `to` is of; null when it is none, for another or too old. */
  async check(ticket: string, to: string): Promise<string | null> {
    const match = /^(([\w-]{1,64})\.([\w-]{1,64})\.(\d{1,15}))\.([0-9a-f]{64})$/.exec(ticket);
    if (match === null) return null;
    const [, claim, from, target, expiresAt, signature] = match as unknown as [string, ...string[]];
    const expected = await this.#sign(claim!);
    if (!timingSafeEqual(expected, Uint8Array.fromHex(signature!))) return null;
    const leftMs = Number(expiresAt) - this.#now();
    return target === to && leftMs > 0 && leftMs <= 2 * TICKET_MS ? from! : null;
  }

  async #sign(claim: string): Promise<Uint8Array> {
    // One that failed is asked for again.
    this.#key ??= this.#readKey().catch((error) => {
      this.#key = null;
      throw error;
    });
    return new Uint8Array(await crypto.subtle.sign("HMAC", await this.#key, encoder.encode(claim)));
  }

  async #readKey(): Promise<CryptoKey> {
    for (;;) {
      const row = await this.#kv.get<Uint8Array<ArrayBuffer>>(keys.peerSecret());
      if (row.value !== null) {
        return await crypto.subtle.importKey("raw", row.value, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
      }
      // Whoever is first decides.
      const secret = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
      await this.#kv.atomic().check(row).set(row.key, secret).commit();
    }
  }
}
