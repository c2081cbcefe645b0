/** Changes of a file as a unified diff with line numbers; long ones open in steps. */
import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import type { ToolContent } from "@/protocol/entry.ts";
import type { DiffLine, FileDiff } from "@/client/diff_lines.ts";
import { useSession } from "./session_context.ts";

type DiffContent = Extract<ToolContent, { type: "diff" }>;

/** Lines shown before a person asks for all. */
const LINES_SHOWN = 200;
const signs = { same: " ", added: "+", removed: "−" } as const;
const words = { same: "", added: "added", removed: "removed" } as const;

function useDiff(diff: DiffContent): FileDiff | null {
  const { differ } = useSession();
  const compare = differ.module.value;
  return useMemo(() => compare?.(diff.oldText, diff.newText) ?? null, [compare, diff.oldText, diff.newText]);
}

/** "+12 −3" over all the diffs of a tool call. */
export function DiffStat({ diffs }: { diffs: readonly DiffContent[] }): JSX.Element {
  const { differ } = useSession();
  const compare = differ.module.value;
  const [added, removed] = useMemo(() => {
    const all = compare ? diffs.map((diff) => compare(diff.oldText, diff.newText)) : [];
    return [all.reduce((sum, one) => sum + one.added, 0), all.reduce((sum, one) => sum + one.removed, 0)];
  }, [compare, ...diffs]);
  if (!compare) return <span class="diff-stat" />;
  return (
    <span class="diff-stat" aria-label={`${added} lines added, ${removed} removed`}>
      <span class="is-added">+{added}</span> <span class="is-removed">−{removed}</span>
    </span>
  );
}

export function DiffView({ diff, path }: { diff: DiffContent; path: string }): JSX.Element {
  const compared = useDiff(diff);
  const [isWhole, setWhole] = useState(false);
  const total = compared?.hunks.reduce((sum, hunk) => sum + hunk.length, 0) ?? 0;
  const kind = diff.oldText === null ? "new file" : diff.newText === null ? "deleted" : null;
  return (
    <figure class="diff">
      <figcaption>
        <span class="diff-path">{path}</span>
        {kind && <span class="tag">{kind}</span>}
        {compared && (
          <span class="diff-stat">
            <span class="is-added">+{compared.added}</span> <span class="is-removed">−{compared.removed}</span>
          </span>
        )}
      </figcaption>
      {compared?.isTooLarge && <p class="quiet">Too many changes to compare; this is the new text.</p>}
      <div class="diff-scroll" tabIndex={0} role="region" aria-label={`Changes of ${path}`}>
        <table>
          {compared?.hunks.map((hunk, at) => {
            const before = compared.hunks.slice(0, at).reduce((sum, one) => sum + one.length, 0);
            const lines = isWhole ? hunk : hunk.slice(0, Math.max(0, LINES_SHOWN - before));
            return lines.length > 0 && (
              <tbody key={at}>{lines.map((line, row) => <Line key={row} line={line} />)}</tbody>
            );
          })}
        </table>
      </div>
      {compared && total === 0 && <p class="quiet">No line changed.</p>}
      {!isWhole && total > LINES_SHOWN && (
        <button
          type="button"
          class="button is-quiet is-small"
          onClick={() => setWhole(true)}
        >
          Show all {total} lines
        </button>
      )}
    </figure>
  );
}

function Line({ line }: { line: DiffLine }): JSX.Element {
  return (
    <tr class={`is-${line.kind}`}>
      <td class="line-number">{line.oldLine}</td>
      <td class="line-number">{line.newLine}</td>
      <td class="line-sign" aria-label={words[line.kind]}>{signs[line.kind]}</td>
      <td class="line-text">{line.text || " "}</td>
    </tr>
  );
}
