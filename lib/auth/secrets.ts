/** Random secrets and how they are stored: only as SHA-256, since 256 random bits need no slow hash. */
import { createHash } from "node:crypto";

const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/** Letters that are not taken for one another when read aloud or typed: no vowels (no words), no L, S, Z. */
const USER_CODE_LETTERS = "BCDFGHJKMNPQRTVWX";
const SECRET_BYTES = 32;
/** Digits that 32 bytes need in base 62. */
const SECRET_CHARS = 43;

/** 32 random bytes in base 62: 43 characters that are safe in URLs, headers and shells. */
export function randomSecret(): string {
  let value = 0n;
  for (const byte of crypto.getRandomValues(new Uint8Array(SECRET_BYTES))) value = value * 256n + BigInt(byte);
  let text = "";
  for (let index = 0; index < SECRET_CHARS; index++) {
    text = BASE62.charAt(Number(value % 62n)) + text;
    value /= 62n;
  }
  return text;
}

/** SHA-256 of `text` in hex. */
export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** A code that a person compares or types, `XXXX-XXXX`: 17^8, about 33 bits, for use with few attempts and a short life. */
export function randomUserCode(): string {
  const letters: string[] = [];
  while (letters.length < 8) {
    const [byte = 0] = crypto.getRandomValues(new Uint8Array(1));
    // 255 is 15 × 17: bytes above it would make some letters likelier.
    if (byte < 255) letters.push(USER_CODE_LETTERS.charAt(byte % USER_CODE_LETTERS.length));
  }
  return `${letters.slice(0, 4).join("")}-${letters.slice(4).join("")}`;
}

/** The canonical form of a typed user code: upper case, with its dash, whatever spaces or dashes were typed. */
export function normalizeUserCode(typed: string): string {
  const letters = typed.toUpperCase().replaceAll(/[^A-Z]/g, "");
  return `${letters.slice(0, 4)}-${letters.slice(4)}`;
}
