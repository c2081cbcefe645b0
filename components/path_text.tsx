/** A path on one line: where there is no room, its beginning goes, since its end tells more. */
import type { JSX } from "preact";
import { shortPath } from "@/client/format.ts";

export function PathText({ path }: { path: string }): JSX.Element {
  return (
    <span class="path-text" title={path}>
      <bdi dir="ltr">{shortPath(path)}</bdi>
    </span>
  );
}
