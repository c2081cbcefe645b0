/** Who may show a tunnelled page in a frame. Pure. */
import type { HeaderList } from "@/protocol/link/types.ts";

/** Where the hub's pages are that show tunnels beside a timeline: what `frame-ancestors` names. Null: that is not known. */
export function hubAncestors(publicUrl: string | undefined, host: string): string | null {
  if (publicUrl !== undefined) return `'self' ${new URL(publicUrl).origin}`;
  const local = /\.localhost(:\d{1,5})?$/i.exec(host);
  if (local === null) return null;
  // A policy cannot name IPv6 addresses.
  return ["'self'", ...["localhost", "127.0.0.1"].map((name) => `http://${name}${local[1] ?? ""}`)].join(" ");
}

/**
 * An answer that the hub's pages may frame, and no page of another origin: many applications forbid it altogether, which would leave
 * the preview empty, and those that do not could be framed by the pages of another tunnel, to browsers of the same site.
 */
export function framedBy(ancestors: string, headers: HeaderList): HeaderList {
  const kept: HeaderList = [];
  let isDocument = true;
  for (const header of headers) {
    const [name, value] = header;
    if (name === "x-frame-options") continue;
    if (name === "content-type") isDocument = /html|xml/i.test(value);
    if (name === "content-security-policy") {
      const policy = withoutAncestors(value);
      if (policy !== "") kept.push([name, policy]);
    } else kept.push(header);
  }
  if (isDocument) kept.push(["content-security-policy", `frame-ancestors ${ancestors}`]);
  return kept;
}

/** The policies of a header without what they say of frames around the page. */
function withoutAncestors(value: string): string {
  return value.split(",").map((policy) =>
    policy.split(";").filter((directive) => !/^\s*frame-ancestors(\s|$)/i.test(directive)).join(";").trim()
  ).filter((policy) => policy !== "").join(", ");
}
