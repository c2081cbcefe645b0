/** Pictures and files that belong to a prompt or a tool's output. */
import type { JSX } from "preact";
import type { Attachment } from "@/protocol/shared.ts";
import { Icon } from "./icons.tsx";

/** Only raster pictures are shown: an SVG from an agent is a document. */
const PICTURE = /^image\/(?:png|jpeg|gif|webp|avif)$/;

export function Attachments({ attachments }: { attachments: readonly Attachment[] }): JSX.Element {
  return (
    <ul class="attachments">
      {attachments.map((attachment, at) => {
        const name = attachment.filename ?? attachment.mediaType;
        const source = pictureSource(attachment);
        return (
          <li key={attachment.attachmentId ?? at}>
            {source ? <img src={source} alt={name} loading="lazy" /> : (
              <span class="file-chip">
                <Icon name="read" />
                {name}
              </span>
            )}
          </li>
        );
      })}
    </ul>
  );
}

/** What an `<img>` may show of an attachment: its data, or a path on this hub; null for anything else. */
export function pictureSource({ mediaType, data, url }: Attachment): string | null {
  if (!PICTURE.test(mediaType)) return null;
  if (data !== undefined) return `data:${mediaType};base64,${data}`;
  return url !== undefined && /^\/[^/\\]/.test(url) ? url : null;
}
