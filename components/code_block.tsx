/** Code in a message: highlighted as soon as the highlighter is there, and never again while it has not changed. */
import type { ComponentChildren, JSX } from "preact";
import { useContext, useMemo } from "preact/hooks";
import type { HighlightNode } from "@/client/highlight.ts";
import { CopyButton } from "./copy_button.tsx";
import { SessionContext } from "./session_context.ts";

interface CodeBlockProps {
  code: string;
  language?: string | undefined;
  /** Still growing: highlighted once it is whole. */
  isOpen?: boolean;
}

export function CodeBlock({ code, language, isOpen = false }: CodeBlockProps): JSX.Element {
  const name = /^[\w+#.-]+/.exec(language ?? "")?.[0] ?? "";
  return (
    <figure class="code-block">
      <figcaption>
        <span>{name || "text"}</span>
        <CopyButton text={code} />
      </figcaption>
      <pre tabIndex={0}><code><Highlighted code={code} language={isOpen ? "" : name} /></code></pre>
    </figure>
  );
}

/** Highlighted text without a frame. An empty language leaves it plain. */
export function Highlighted({ code, language }: { code: string; language: string }): JSX.Element {
  const view = useContext(SessionContext);
  const highlight = language && view ? view.highlighter.module.value : null;
  const nodes = useMemo(() => highlight?.(code, language) ?? null, [highlight, code, language]);
  return <>{nodes ? nodes.map(toVNode) : code}</>;
}

function toVNode(node: HighlightNode, key: number): ComponentChildren {
  return typeof node === "string" ? node : <span key={key} class={node.classes}>{node.children.map(toVNode)}</span>;
}
