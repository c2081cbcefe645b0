/** Times, sizes and paths as people read them. Pure. */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** How long ago `at` was, short enough for a list: "now", "3 min", "2 h", "5 d", then a date. Both in ms since the epoch. */
export function relativeTime(at: number, now: number): string {
  const age = now - at;
  if (age < MINUTE) return "now";
  if (age < HOUR) return `${Math.floor(age / MINUTE)} min`;
  if (age < DAY) return `${Math.floor(age / HOUR)} h`;
  if (age < 14 * DAY) return `${Math.floor(age / DAY)} d`;
  return new Date(at).toLocaleDateString(undefined, { day: "numeric", month: "short" });
}

/** A duration in ms: "0.4 s", "4 s", "1 min 12 s", "2 h 5 min". */
export function duration(ms: number): string {
  const safe = Math.max(0, ms);
  if (safe < 1_000) return `${(safe / 1_000).toFixed(1)} s`;
  if (safe < MINUTE) return `${Math.round(safe / 1_000)} s`.replace("60 s", "1 min");
  if (safe < HOUR) {
    const seconds = Math.floor((safe % MINUTE) / 1_000);
    return `${Math.floor(safe / MINUTE)} min${seconds ? ` ${seconds} s` : ""}`;
  }
  const minutes = Math.floor((safe % HOUR) / MINUTE);
  return `${Math.floor(safe / HOUR)} h${minutes ? ` ${minutes} min` : ""}`;
}

/** A count with a unit letter from a thousand up: 940, "12.3k", "1.2M". */
export function compactCount(count: number): string {
  if (count < 1_000) return String(Math.round(count));
  if (count < 999_500) return `${trimZero(count / 1_000)}k`;
  return `${trimZero(count / 1_000_000)}M`;
}

function trimZero(value: number): string {
  return (value < 100 ? value.toFixed(1) : value.toFixed(0)).replace(/\.0$/, "");
}

/** Last part of a path, of either kind of separator; the path itself when there is none. */
export function baseName(path: string): string {
  const parts = path.split(/[\\/]/).filter((part) => part !== "");
  return parts.at(-1) ?? path;
}

/** A line of markdown without its marks, for where there is room for plain words only. */
export function plainLine(markdown: string): string {
  return markdown.replace(/^\s*(?:#{1,6}|>|[-*+])\s+/, "").replace(/(\*\*|__|`)(.+?)\1/g, "$2");
}

/** A path with the home folder as "~". Homes are recognised by their usual places, since a hub does not know them. */
export function shortPath(path: string): string {
  return path.replace(/^(?:\/(?:home|Users)\/[^/]+|\/root|[A-Z]:\\Users\\[^\\]+)(?=$|[\\/])/, "~");
}

/** A file's path relative to the session's folder, when it lies inside. */
export function relativePath(path: string, cwd: string): string {
  const folder = cwd.replace(/[\\/]+$/, "");
  return path.startsWith(folder) && /[\\/]/.test(path[folder.length] ?? "")
    ? path.slice(folder.length + 1)
    : shortPath(path);
}

/** "1 session", "3 sessions". */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
