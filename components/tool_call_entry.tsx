/** A tool call: one line that opens to what went in and what came out. */
import type { JSX } from "preact";
import type { Entry, EntryStatus, ToolCallBody, ToolContent } from "@/protocol/entry.ts";
import { isOpen } from "@/protocol/entry.ts";
import { duration, relativePath } from "@/client/format.ts";
import { inputText, stripAnsi, toolSummary } from "@/client/tool_summary.ts";
import { pictureSource } from "./attachments.tsx";
import { CopyButton } from "./copy_button.tsx";
import { DiffStat, DiffView } from "./diff_view.tsx";
import { Icon, toolIcon } from "./icons.tsx";
import { useSession } from "./session_context.ts";
import { useOpened } from "./use_opened.ts";

const statusWords: Record<EntryStatus, string> = {
  pending: "Waiting",
  running: "Running",
  completed: "Done",
  failed: "Failed",
  cancelled: "Stopped",
};
/** Output beyond this is cut in the page: thousands of lines of layout help nobody. */
const OUTPUT_SHOWN_CHARS = 60_000;
/** A shorter time is not worth telling. */
const DURATION_SHOWN_MS = 500;

export function ToolCallEntry(props: { entry: Entry; body: ToolCallBody; appended: string }): JSX.Element {
  const { entry, body, appended } = props;
  const { store } = useSession();
  const [isShown, setShown] = useOpened(entry.id, false);
  const cwd = store.info.value?.cwd ?? "";
  const { head } = entry;
  const { title, target } = toolSummary(head, body, cwd);
  const diffs = body.content.filter((content) => content.type === "diff");
  const tookMs = head.endedAt === undefined ? 0 : head.endedAt - head.startedAt;
  return (
    <details
      class={`fold tool is-${head.status}`}
      open={isShown}
      onToggle={(event) => setShown(event.currentTarget.open)}
    >
      <summary>
        <Icon name={toolIcon(head.toolKind)} />
        <span class="fold-title">{title}</span>
        {target && <span class="tool-target">{target}</span>}
        <span class="fold-end">
          {diffs.length > 0 && <DiffStat diffs={diffs} />}
          {tookMs >= DURATION_SHOWN_MS && <span class="tool-time">{duration(tookMs)}</span>}
          <ToolStatus status={head.status} exitCode={body.exitCode} />
        </span>
        <Icon name="chevron" />
      </summary>
      {isShown && <ToolDetail body={body} output={body.output + appended} cwd={cwd} isRunning={isOpen(head.status)} />}
    </details>
  );
}

function ToolStatus({ status, exitCode }: { status: EntryStatus; exitCode: number | null | undefined }): JSX.Element {
  if (status === "completed" && !exitCode) {
    return (
      <span class="tool-status">
        <Icon name="check" />
        <span class="visually-hidden">Done</span>
      </span>
    );
  }
  const word = exitCode ? `Exit ${exitCode}` : statusWords[status];
  return <span class={`tool-status is-word is-${exitCode ? "failed" : status}`}>{word}</span>;
}

interface ToolDetailProps {
  body: ToolCallBody;
  output: string;
  cwd: string;
  isRunning: boolean;
}

function ToolDetail({ body, output, cwd, isRunning }: ToolDetailProps): JSX.Element {
  const input = inputText(body.input);
  const hasDiff = body.content.some((content) => content.type === "diff");
  const isEmpty = output === "" && body.content.length === 0;
  return (
    <div class="fold-body">
      {input !== null && !hasDiff && <Printed label="Input" text={input} />}
      {body.content.map((content, at) => <ToolContentView key={at} content={content} cwd={cwd} />)}
      {output !== "" && <Printed label="Output" text={stripAnsi(output)} cut={body.outputCut} />}
      {isEmpty && <p class="quiet">{isRunning ? "Nothing printed yet." : "No output."}</p>}
    </div>
  );
}

/** A piece of what a tool made: text, a diff or a picture. */
export function ToolContentView({ content, cwd }: { content: ToolContent; cwd: string }): JSX.Element | null {
  switch (content.type) {
    case "text":
      return content.text.trim() === "" ? null : <Printed label="Output" text={stripAnsi(content.text)} />;
    case "diff":
      return <DiffView diff={content} path={relativePath(content.path, cwd)} />;
    case "image": {
      const source = pictureSource(content);
      return source
        ? <img class="tool-image" src={source} alt="Picture made by the tool" />
        : <p class="quiet">A picture of type {content.mediaType}.</p>;
    }
  }
}

export function Printed({ label, text, cut }: { label: string; text: string; cut?: number | undefined }): JSX.Element {
  const hidden = Math.max(0, text.length - OUTPUT_SHOWN_CHARS);
  const half = OUTPUT_SHOWN_CHARS / 2;
  const shown = hidden === 0
    ? text
    : `${text.slice(0, half)}\n\n… ${hidden} characters not shown; Copy has them …\n\n${text.slice(-half)}`;
  return (
    <figure class="printed">
      <figcaption>
        <span>{label}{cut ? `, ${cut} characters cut by the runner` : ""}</span>
        <CopyButton text={text} />
      </figcaption>
      <pre tabIndex={0}>{shown}</pre>
    </figure>
  );
}
