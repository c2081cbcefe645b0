/**
 * Agent text as markdown. The lexer's tokens become Preact nodes: there is no HTML string anywhere, so nothing in the
 * text can become markup. Raw HTML is shown as the text it is; only http, https and mailto links can be followed.
 */
import { Component, type ComponentChildren, Fragment, type JSX } from "preact";
import { Lexer, type Token, type Tokens } from "marked";
import { safeUrl } from "@/client/safe_url.ts";
import { CodeBlock } from "./code_block.tsx";

/** Longer texts are shown as they are: what an agent prints must not be able to freeze the page. */
const MARKDOWN_MAX_CHARS = 200_000;
/** Quotes and lists nested deeper than this are shown as text. */
const DEPTH_MAX = 16;

/** Tokens of a text, or null when it should be shown as plain text. */
export function lexMarkdown(text: string): Token[] | null {
  if (text.length > MARKDOWN_MAX_CHARS) return null;
  try {
    return new Lexer({ gfm: true, breaks: false }).lex(text);
  } catch {
    return null; // nested too deep for the lexer
  }
}

export function Markdown({ text, isOpen = false }: { text: string; isOpen?: boolean }): JSX.Element {
  const tokens = lexMarkdown(text);
  if (tokens === null) return <div class="markdown plain">{text}</div>;
  const last = tokens.length - 1;
  return (
    <div class="markdown">
      {tokens.map((token, at) => <Block key={at} token={token} isOpen={isOpen && at === last} />)}
    </div>
  );
}

/** A top-level block. While text streams in, all blocks but the last stay as they are. */
class Block extends Component<{ token: Token; isOpen: boolean }> {
  override shouldComponentUpdate(next: { token: Token; isOpen: boolean }): boolean {
    const { token, isOpen } = this.props;
    return next.isOpen !== isOpen || next.token.type !== token.type || next.token.raw !== token.raw;
  }
  override render(): ComponentChildren {
    return block(this.props.token, 0, this.props.isOpen);
  }
}

function blocks(tokens: readonly Token[] | undefined, depth: number): ComponentChildren {
  return tokens?.map((token, at) => <Fragment key={at}>{block(token, depth, false)}</Fragment>);
}

function block(token: Token, depth: number, isOpen: boolean): ComponentChildren {
  if (depth > DEPTH_MAX) return <p>{token.raw}</p>;
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "heading": {
      const { depth: level, tokens } = token as Tokens.Heading;
      const Tag = (["h3", "h3", "h4", "h5", "h6", "h6"] as const)[level - 1] ?? "h6";
      return <Tag>{inlines(tokens, depth)}</Tag>;
    }
    case "paragraph":
      return <p>{inlines((token as Tokens.Paragraph).tokens, depth)}</p>;
    case "text": {
      const { tokens, text } = token as Tokens.Text;
      return tokens ? inlines(tokens, depth) : decodeEntities(text);
    }
    case "code":
      return <CodeBlock code={(token as Tokens.Code).text} language={(token as Tokens.Code).lang} isOpen={isOpen} />;
    case "blockquote":
      return <blockquote>{blocks((token as Tokens.Blockquote).tokens, depth + 1)}</blockquote>;
    case "hr":
      return <hr />;
    case "list":
      return list(token as Tokens.List, depth);
    case "table":
      return table(token as Tokens.Table, depth);
    case "html":
      return <p class="raw-html">{token.raw.trimEnd()}</p>;
    default:
      return inline(token, depth);
  }
}

function list(token: Tokens.List, depth: number): JSX.Element {
  const items = token.items.map((item, at) => (
    <li key={at} class={item.task ? "task" : undefined}>
      {item.task && (
        <span class="task-box" role="img" aria-label={item.checked ? "done" : "open"}>{item.checked ? "✓" : ""}</span>
      )}
      {blocks(item.tokens.filter((inner) => inner.type !== "checkbox"), depth + 1)}
    </li>
  ));
  return token.ordered ? <ol start={token.start === "" ? 1 : token.start}>{items}</ol> : <ul>{items}</ul>;
}

function table(token: Tokens.Table, depth: number): JSX.Element {
  const cell = (Tag: "th" | "td") => (item: Tokens.TableCell, at: number) => (
    <Tag key={at} class={item.align ? `align-${item.align}` : undefined}>{inlines(item.tokens, depth)}</Tag>
  );
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label="Table">
      <table>
        <thead>
          <tr>{token.header.map(cell("th"))}</tr>
        </thead>
        <tbody>{token.rows.map((row, at) => <tr key={at}>{row.map(cell("td"))}</tr>)}</tbody>
      </table>
    </div>
  );
}

function inlines(tokens: readonly Token[] | undefined, depth: number): ComponentChildren {
  return tokens?.map((token, at) => <Fragment key={at}>{inline(token, depth + 1)}</Fragment>);
}

function inline(token: Token, depth: number): ComponentChildren {
  if (depth > DEPTH_MAX) return token.raw;
  switch (token.type) {
    case "strong":
      return <strong>{inlines((token as Tokens.Strong).tokens, depth)}</strong>;
    case "em":
      return <em>{inlines((token as Tokens.Em).tokens, depth)}</em>;
    case "del":
      return <del>{inlines((token as Tokens.Del).tokens, depth)}</del>;
    case "codespan":
      return <code>{(token as Tokens.Codespan).text}</code>;
    case "br":
      return <br />;
    case "link":
      return link(token as Tokens.Link, depth);
    case "image":
      return image(token as Tokens.Image);
    case "text": {
      const { tokens, text } = token as Tokens.Text;
      return tokens ? inlines(tokens, depth) : decodeEntities(text);
    }
    case "escape":
      return decodeEntities((token as Tokens.Escape).text);
    default:
      return token.raw;
  }
}

function link(token: Tokens.Link, depth: number): ComponentChildren {
  const href = safeUrl(token.href);
  const text = inlines(token.tokens, depth);
  if (href === null) return <span class="unsafe-link" title="This address is not a web address">{text}</span>;
  return <a href={href} target="_blank" rel="noopener noreferrer nofollow">{text}</a>;
}

/** Images are never fetched by themselves: a page that an agent names must not learn who reads. */
function image(token: Tokens.Image): ComponentChildren {
  const href = safeUrl(token.href);
  const text = token.text || "image";
  return href === null ? text : <a href={href} target="_blank" rel="noopener noreferrer nofollow">{text}</a>;
}

const entities: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0" };

/** Character references that people write in markdown; the result is text and stays text. */
function decodeEntities(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,5}));/gi, (all, decimal, hex, name) => {
    if (name !== undefined) return entities[name.toLowerCase()] ?? all;
    const code = decimal !== undefined ? Number(decimal) : parseInt(hex, 16);
    return code > 31 && code <= 0x10ffff ? String.fromCodePoint(code) : all;
  });
}
