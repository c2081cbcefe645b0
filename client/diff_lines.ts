/** Line diffs for the timeline, in a chunk of its own. Pure. */
import { structuredPatch } from "diff";

export interface DiffLine {
  kind: "same" | "added" | "removed";
  /** Line numbers, from 1; null on the side where the line is not. */
  oldLine: number | null;
  newLine: number | null;
  text: string;
}

export interface FileDiff {
  hunks: DiffLine[][];
  added: number;
  removed: number;
  /** The files differ more than was compared; what is shown is the whole new text. */
  isTooLarge: boolean;
}

/** Edits beyond which comparing would stall the page. */
const EDIT_LENGTH_MAX = 4_000;
const CONTEXT_LINES = 3;

/** Compares two texts by lines. `null` stands for a file that is not there. */
export function diffLines(oldText: string | null, newText: string | null): FileDiff {
  const patch = structuredPatch("a", "b", oldText ?? "", newText ?? "", undefined, undefined, {
    context: CONTEXT_LINES,
    maxEditLength: EDIT_LENGTH_MAX,
  });
  if (!patch) return wholeFile(newText ?? "");
  const diff: FileDiff = { hunks: [], added: 0, removed: 0, isTooLarge: false };
  for (const hunk of patch.hunks) {
    let oldLine = hunk.oldStart;
    let newLine = hunk.newStart;
    const lines: DiffLine[] = [];
    for (const line of hunk.lines) {
      const text = line.slice(1);
      if (line.startsWith("+")) {
        lines.push({ kind: "added", oldLine: null, newLine: newLine++, text });
        diff.added++;
      } else if (line.startsWith("-")) {
        lines.push({ kind: "removed", oldLine: oldLine++, newLine: null, text });
        diff.removed++;
      } else if (!line.startsWith("\\")) {
        lines.push({ kind: "same", oldLine: oldLine++, newLine: newLine++, text });
      }
    }
    diff.hunks.push(lines);
  }
  return diff;
}

function wholeFile(text: string): FileDiff {
  const lines = text.split("\n").slice(0, EDIT_LENGTH_MAX);
  const hunk = lines.map((line, at): DiffLine => ({ kind: "same", oldLine: null, newLine: at + 1, text: line }));
  return { hunks: [hunk], added: 0, removed: 0, isTooLarge: true };
}
