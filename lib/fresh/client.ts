/**
 * The script that hydrates a page's islands. Reads `__FRESH_STATE`, loads the islands' chunks and hydrates each island
 * between its markers (`<!--fresh:i:0-->` … `<!--/fresh:i-->`). Bundled for the browser by the builder.
 *
 * @module
 */
import { computed, signal } from "@preact/signals";
import { unflatten } from "devalue";
import { type ComponentChild, type ComponentType, Fragment, h, hydrate, type VNode } from "preact";

type Props = Record<string, unknown>;

interface PageState {
  /** Build id. */
  b: string;
  /** Chunk and export of each island on the page. */
  i: [url: string, exportName: string][];
  /** The islands' instances, `[index in i, props][]`, as devalue wrote them. */
  p: (string | number)[];
}

const OPEN_ISLAND = "fresh:i:";
const OPEN_SLOT = "fresh:s:";

async function start(state: PageState): Promise<void> {
  const types = await Promise.all(state.i.map(([url, name]) =>
    import(url).then(
      (module: Record<string, ComponentType<Props>>) => module[name],
      (error: unknown) => console.error(`Island ${url} did not load:`, error),
    )
  ));
  const slots = new Map<number, ComponentChild[]>();

  /** A slot is what the server rendered for it: in the page, or in a template when nothing showed it yet. */
  const Slot = ({ id }: { id: number }): VNode => {
    let content = slots.get(id);
    if (content === undefined) {
      const template = document.getElementById(`fresh-s-${id}`) as HTMLTemplateElement | null;
      slots.set(id, content = toVNodes(template?.content.firstChild ?? null, null));
    }
    return h(Fragment, null, content);
  };

  const instances: [number, Props][] = unflatten(state.p, {
    Signal: ([value]: [unknown]) => signal(value),
    Computed: ([value]: [unknown]) => computed(() => value),
    Slot: ([id]: [number]) => h(Slot, { id }),
  });

  const island = (open: Comment): VNode | null => {
    const [index, props] = instances[Number(open.data.slice(OPEN_ISLAND.length))]!;
    const type = types[index];
    return type ? h(type, props) : null;
  };

  /** Server-rendered siblings from `node` up to `end` as vnodes, islands among them as their components. */
  function toVNodes(node: ChildNode | null, end: Node | null): ComponentChild[] {
    const found: ComponentChild[] = [];
    for (; node !== null && node !== end; node = node.nextSibling) {
      if (node instanceof Comment && node.data.startsWith(OPEN_ISLAND)) {
        const close = closeOf(node, OPEN_ISLAND);
        readSlots(node.nextSibling, close);
        found.push(island(node));
        node = close;
      } else if (node instanceof Element) {
        const props: Props = {};
        for (const { name, value } of node.attributes) {
          if (name.startsWith("on")) continue;
          const isFlag = value === "" && typeof (node as unknown as Props)[name] === "boolean";
          props[name] = isFlag ? true : value;
        }
        found.push(h(node.localName, props, toVNodes(node.firstChild, null)));
      } else if (node instanceof Text) {
        found.push(node.data);
      }
    }
    return found;
  }

  /** Notes the slots that an island's server-rendered output shows. */
  function readSlots(node: ChildNode | null, end: Node | null): void {
    for (; node !== null && node !== end; node = node.nextSibling) {
      if (node instanceof Comment && node.data.startsWith(OPEN_SLOT)) {
        const close = closeOf(node, OPEN_SLOT);
        slots.set(Number(node.data.slice(OPEN_SLOT.length)), toVNodes(node.nextSibling, close));
        node = close;
      } else {
        readSlots(node.firstChild, null);
      }
    }
  }

  for (const open of topLevelIslands()) {
    const close = closeOf(open, OPEN_ISLAND);
    readSlots(open.nextSibling, close);
    const vnode = island(open);
    if (vnode !== null) hydrate(vnode, between(open, close));
  }
}

function topLevelIslands(): Comment[] {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_COMMENT);
  const found: Comment[] = [];
  let depth = 0;
  while (walker.nextNode()) {
    const node = walker.currentNode as Comment;
    if (node.data.startsWith(OPEN_ISLAND)) {
      if (depth++ === 0) found.push(node);
    } else if (node.data === "/fresh:i") depth--;
  }
  return found;
}

/** The marker that closes `open`: a later sibling. */
function closeOf(open: Comment, prefix: string): Comment {
  const closing = `/${prefix.slice(0, -1)}`;
  let depth = 0;
  for (let node = open.nextSibling; node !== null; node = node.nextSibling) {
    if (!(node instanceof Comment)) continue;
    if (node.data.startsWith(prefix)) depth++;
    else if (node.data === closing && depth-- === 0) return node;
  }
  throw new Error(`Marker ${open.data} is not closed`);
}

/** The nodes between two markers as a parent that Preact can hydrate into. */
function between(open: Comment, close: Comment): Element {
  const parent = open.parentNode as Element;
  const childNodes: ChildNode[] = [];
  for (let node = open.nextSibling; node !== null && node !== close; node = node.nextSibling) childNodes.push(node);
  const insertBefore = (node: Node, before: Node | null) => parent.insertBefore(node, before ?? close);
  return {
    nodeType: 1,
    parentNode: parent,
    namespaceURI: parent.namespaceURI,
    ownerDocument: document,
    childNodes,
    firstChild: childNodes[0] ?? null,
    insertBefore,
    appendChild: (node: Node) => insertBefore(node, null),
    removeChild: (node: Node) => parent.removeChild(node),
    contains: (node: Node | null) => parent.contains(node),
  } as unknown as Element;
}

const element = document.getElementById("__FRESH_STATE");
if (element !== null) await start(JSON.parse(element.textContent!));
