/**
 * Agent text as markdown. It becomes Preact nodes: there is no HTML string anywhere, so nothing in the text can become
 * markup. Raw HTML is shown as the text it is; only http, https and mailto links can be followed.
 */
import { Component, type ComponentChildren, Fragment, type JSX } from "preact";
import { type Block, linesOf, type ListItem, readBlocks } from "@/client/markdown_blocks.ts";
import { type Inline, readInlines } from "@/client/markdown_inlines.ts";
import { safeUrl } from "@/client/safe_url.ts";
import { CodeBlock } from "./code_block.tsx";

/** Longer texts are shown as they are: what an agent prints must not be able to freeze the page. */
const MARKDOWN_MAX_CHARS = 200_000;
/** Quotes and lists nested deeper than this are shown as text. */
const DEPTH_MAX = 12;

export function Markdown({ text, isOpen = false }: { text: string; isOpen?: boolean }): JSX.Element {
  if (text.length > MARKDOWN_MAX_CHARS) return <div class="markdown plain">{text}</div>;
  const blocks = readBlocks(linesOf(text));
  const last = blocks.length - 1;
  return (
    <div class="markdown">
      {blocks.map((block, at) => <TopBlock key={at} block={block} isOpen={isOpen && at === last} />)}
    </div>
  );
}

/** A top-level block. While text streams in, all blocks but the last stay as they are. */
class TopBlock extends Component<{ block: Block; isOpen: boolean }> {
  override shouldComponentUpdate(next: { block: Block; isOpen: boolean }): boolean {
    const { block, isOpen } = this.props;
    return next.isOpen !== isOpen || next.block.type !== block.type || next.block.raw !== block.raw;
  }
  override render(): ComponentChildren {
    return showBlock(this.props.block, 0, this.props.isOpen, false);
  }
}

function showLines(lines: readonly string[], depth: number, isTight: boolean): ComponentChildren {
  if (depth > DEPTH_MAX) return lines.join("\n");
  return readBlocks(lines).map((block, at) => <Fragment key={at}>{showBlock(block, depth, false, isTight)}</Fragment>);
}

/** @param isTight whether paragraphs stand bare, as in a list without gaps */
function showBlock(block: Block, depth: number, isOpen: boolean, isTight: boolean): ComponentChildren {
  switch (block.type) {
    case "heading": {
      const Tag = (["h3", "h3", "h4", "h5", "h6", "h6"] as const)[block.level - 1] ?? "h6";
      return <Tag>{showText(block.text)}</Tag>;
    }
    case "paragraph":
      return isTight ? showText(block.text) : <p>{showText(block.text)}</p>;
    case "code":
      return <CodeBlock code={block.text} language={block.language} isOpen={isOpen} />;
    case "quote":
      return <blockquote>{showLines(block.lines, depth + 1, false)}</blockquote>;
    case "rule":
      return <hr />;
    case "list": {
      const items = block.items.map((item, at) => showItem(item, at, depth, !block.isLoose));
      return block.start === null ? <ul>{items}</ul> : <ol start={block.start}>{items}</ol>;
    }
    case "table":
      return showTable(block);
  }
}

function showItem({ isDone, lines }: ListItem, key: number, depth: number, isTight: boolean): JSX.Element {
  return (
    <li key={key} class={isDone === null ? undefined : "task"}>
      {isDone !== null && (
        <span class="task-box" role="img" aria-label={isDone ? "done" : "open"}>{isDone ? "✓" : ""}</span>
      )}
      {showLines(lines, depth + 1, isTight)}
    </li>
  );
}

function showTable({ align, header, rows }: Extract<Block, { type: "table" }>): JSX.Element {
  const cell = (Tag: "th" | "td") => (text: string, at: number) => (
    <Tag key={at} class={align[at] ? `align-${align[at]}` : undefined}>{showText(text)}</Tag>
  );
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label="Table">
      <table>
        <thead>
          <tr>{header.map(cell("th"))}</tr>
        </thead>
        <tbody>{rows.map((row, at) => <tr key={at}>{row.map(cell("td"))}</tr>)}</tbody>
      </table>
    </div>
  );
}

const showText = (text: string) => showInlines(readInlines(text));
const showInlines = (inlines: readonly Inline[]): ComponentChildren =>
  inlines.map((inline, at) => <Fragment key={at}>{showInline(inline)}</Fragment>);

function showInline(inline: Inline): ComponentChildren {
  switch (inline.type) {
    case "text":
      return inline.text;
    case "code":
      return <code>{inline.text}</code>;
    case "break":
      return <br />;
    case "strong":
      return <strong>{showInlines(inline.inlines)}</strong>;
    case "em":
      return <em>{showInlines(inline.inlines)}</em>;
    case "del":
      return <del>{showInlines(inline.inlines)}</del>;
    case "link": {
      const href = safeUrl(inline.href);
      if (href) return <Link href={href}>{showInlines(inline.inlines)}</Link>;
      return <span class="unsafe-link" title="This is not a web address">{showInlines(inline.inlines)}</span>;
    }
    case "image": {
      // Never fetched by itself: a page that an agent names must not learn who reads.
      const href = safeUrl(inline.href);
      const text = inline.text || "image";
      return href ? <Link href={href}>{text}</Link> : text;
    }
  }
}

function Link({ href, children }: { href: string; children: ComponentChildren }): JSX.Element {
  return <a href={href} target="_blank" rel="noopener noreferrer nofollow">{children}</a>;
}
