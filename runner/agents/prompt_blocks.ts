/** A prompt's text and attachments as an agent takes them. Pure. */
import type { Attachment } from "@/protocol/mod.ts";

export interface PromptParts {
  text: string;
  images: { mediaType: string; data: string }[];
  /** Attachments that cannot be sent, each with the reason. */
  refused: string[];
}

/** Images stay images where the agent takes them; text files become part of the text; the rest is named as refused. */
export function promptParts(prompt: { text: string; attachments: Attachment[] }, takesImages: boolean): PromptParts {
  const parts: PromptParts = { text: prompt.text, images: [], refused: [] };
  for (const { mediaType, filename, data } of prompt.attachments) {
    const name = filename ?? mediaType;
    if (data === undefined) {
      parts.refused.push(`${name}: its content did not arrive`);
    } else if (mediaType.startsWith("image/")) {
      if (takesImages) parts.images.push({ mediaType, data });
      else parts.refused.push(`${name}: this agent takes no images`);
    } else if (mediaType.startsWith("text/") || mediaType === "application/json") {
      const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
      parts.text += `\n\nAttached file ${name}:\n\n${new TextDecoder().decode(bytes)}`;
    } else {
      parts.refused.push(`${name}: files of type ${mediaType} cannot be sent to an agent`);
    }
  }
  return parts;
}
