/** Pictures that a person adds to a prompt. */
import type { Attachment } from "@/protocol/shared.ts";

/** Most pictures in one prompt, and the most bytes of one: base64 must stay inside the protocol's limit. */
export const PICTURES_MAX = 8;
export const PICTURE_MAX_BYTES = 3 * 1024 * 1024;
/** All pictures of a prompt together must fit a frame. */
export const PICTURES_TOTAL_MAX_CHARS = 6 * 1024 * 1024;
const TYPES = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/** Reads a picture. Rejects with a sentence for the person when it is of another type or too large. */
export async function readPicture(file: File): Promise<Attachment> {
  const name = file.name || "picture";
  if (!TYPES.includes(file.type)) {
    throw new Error(`${name} is ${file.type || "of an unknown type"}; PNG, JPEG, GIF and WebP can be sent`);
  }
  if (file.size > PICTURE_MAX_BYTES) {
    throw new Error(
      `${name} has ${(file.size / 1024 / 1024).toFixed(1)} MB; at most 3 MB can be sent, so make it smaller`,
    );
  }
  const bytes = new Uint8Array(await file.arrayBuffer());
  return {
    attachmentId: crypto.randomUUID(),
    mediaType: file.type,
    filename: name.slice(0, 255),
    data: toBase64(bytes),
  };
}

/** Base64 of bytes, in pieces that fit a call's arguments. */
export function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}
