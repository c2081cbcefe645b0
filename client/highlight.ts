/** Code highlighting, in a chunk of its own. Gives a tree of nodes, never HTML. */
import { common, createLowlight } from "lowlight";

/** A piece of highlighted code: text, or a span with classes around more of them. */
export type HighlightNode = string | { classes: string; children: HighlightNode[] };

/** Longer code is shown plain: highlighting it would stall the page. */
export const HIGHLIGHT_MAX_CHARS = 40_000;

interface TreeNode {
  type: string;
  value?: string;
  properties?: { className?: unknown };
  children?: TreeNode[];
}

/** Makes the highlighter. `null` for a language that it does not know, or code that is too long. */
export function createHighlighter(): (code: string, language: string) => HighlightNode[] | null {
  const lowlight = createLowlight(common);
  return (code, language) => {
    const name = language.toLowerCase();
    if (code.length > HIGHLIGHT_MAX_CHARS || !lowlight.registered(name)) return null;
    return lowlight.highlight(name, code).children.map((node) => convert(node as TreeNode));
  };
}

function convert(node: TreeNode): HighlightNode {
  if (node.type === "text") return node.value ?? "";
  const names = node.properties?.className;
  return {
    classes: Array.isArray(names) ? names.join(" ") : "",
    children: (node.children ?? []).map(convert),
  };
}
