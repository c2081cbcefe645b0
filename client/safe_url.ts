/** Which links of agent output may be followed. Agent output is hostile (design §8). */

/**
 * The address of a link, or null when it must be shown as text: only absolute http, https and mailto pass. Control
 * characters and white space are what browsers strip before they look for a scheme, so they are looked for first.
 */
export function safeUrl(href: string): string | null {
  // deno-lint-ignore no-control-regex
  if (/[\u0000-\u0020\u007f-\u009f\u200b-\u200f\u2028-\u202f\ufeff]/.test(href)) return null;
  if (!/^(?:https?:\/\/|mailto:)/i.test(href)) return null;
  try {
    const url = new URL(href);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}
