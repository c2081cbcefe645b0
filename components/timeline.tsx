/**
 * The timeline: only the entries near the window are on the page. The reader stays at the end while they are there,
 * and at what they were reading otherwise, whatever grows above, below or in it.
 */
import { signal, useComputed, useSignal, useSignalEffect } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import type { TimelineEntry } from "@/protocol/log/timeline.ts";
import { type Anchor, TimelineLayout } from "@/client/timeline_layout.ts";
import { EntryView } from "./entry_view.tsx";
import { Icon } from "./icons.tsx";
import { useSession } from "./session_context.ts";

/** Closer to the end than this counts as being at the end. */
const END_PX = 48;
/** How far around the window entries are kept on the page. */
const MARGIN_PX = 900;
/** An entry that is gone to stands this far below the top. */
const REVEALED_BELOW_PX = 24;
/** Older pages are asked for when the top is nearer than this. */
const OLDER_PX = 1_600;

function estimateHeight(entry: TimelineEntry | undefined): number {
  switch (entry?.entry.kind) {
    case "agent_message":
    case "user_message": {
      const text = entry.entry.head.textLength || 160;
      return 44 + Math.min(60, Math.ceil(text / 80)) * 23;
    }
    case "interaction":
      return 120;
    default:
      return 34;
  }
}

export function Timeline({ children }: { children?: ComponentChildren }): JSX.Element {
  const { store, visible, wanted } = useSession();
  const scroller = useRef<HTMLDivElement>(null);
  const column = useRef<HTMLDivElement>(null);
  const tail = useRef<HTMLDivElement>(null);
  const reader = useMemo(() => new Reader(), []);
  const layout = useMemo(() =>
    new TimelineLayout((index) => {
      const { ids, firstIndex } = store.rows.peek();
      const id = ids[index - firstIndex];
      return estimateHeight(id === undefined ? undefined : store.entry(id).peek());
    }), [store]);
  const shown = useSignal<{ first: number; last: number }>({ first: 0, last: -1 });

  const place = useCallback(() => {
    const box = scroller.current;
    if (!box || !column.current) return;
    const { ids, firstIndex, hasOlder } = store.rows.peek();
    layout.setRange(firstIndex, ids.length);
    column.current.style.height = `${layout.totalHeight}px`;
    const offset = column.current.offsetTop;
    if (reader.isAtEnd.peek()) box.scrollTop = box.scrollHeight;
    else if (reader.anchor) {
      const wanted = layout.topFor(reader.anchor) + offset;
      if (Math.abs(wanted - box.scrollTop) >= 1) box.scrollTop = wanted;
    }
    reader.lastTop = box.scrollTop;
    const window = layout.visible(box.scrollTop - offset, box.clientHeight, MARGIN_PX) ?? { first: 0, last: -1 };
    const before = shown.peek();
    // Rows that stay are placed now, with the window: those that come are placed when they are there.
    for (const row of column.current.children) positionRow(row as HTMLElement, layout);
    if (before.first !== window.first || before.last !== window.last) shown.value = window;
    const seen = layout.visible(box.scrollTop - offset, box.clientHeight, 0);
    const was = visible.peek();
    if (seen && (seen.first !== was.first || seen.last !== was.last)) visible.value = seen;
    if (hasOlder && box.scrollTop - offset < OLDER_PX) store.loadOlder();
  }, [store, layout, visible]);

  /**
   * Notes where the reader went. The window may have moved before its scroll event comes: whatever changes the layout
   * calls this first, or the reader would be put back to where they were a frame ago.
   */
  const follow = useCallback(() => {
    const box = scroller.current;
    if (!box || !column.current || box.scrollTop === reader.lastTop) return;
    const fromEnd = box.scrollHeight - box.clientHeight - box.scrollTop;
    // Growth below moves the end away without a scroll, and shrinking pulls the window up to it: neither is the reader's doing.
    if (fromEnd <= 2 || (fromEnd <= END_PX && box.scrollTop > reader.lastTop)) reader.atEnd(store.rows.peek());
    else if (box.scrollTop < reader.lastTop) reader.isAtEnd.value = false;
    reader.anchor = layout.anchorAt(box.scrollTop - column.current.offsetTop);
    reader.lastTop = box.scrollTop;
  }, [store, layout]);
  const onScroll = useCallback(() => {
    follow();
    place();
  }, [follow, place]);

  // One observer for all rows, the window and the tail: sizes are taken before the next paint, so nothing is seen to jump.
  const sizes = useMemo(
    () =>
      typeof ResizeObserver === "undefined" ? null : new ResizeObserver((changes) => {
        follow();
        for (const { target, borderBoxSize } of changes) {
          const index = (target as HTMLElement).dataset.index;
          const height = borderBoxSize[0]?.blockSize ?? 0;
          if (index !== undefined && height > 0 && target.isConnected) layout.measured(Number(index), height);
        }
        place();
      }),
    [layout, follow, place],
  );
  useEffect(() => {
    if (scroller.current) sizes?.observe(scroller.current);
    if (tail.current) sizes?.observe(tail.current);
    return () => sizes?.disconnect();
  }, [sizes]);
  useSignalEffect(() => {
    const { resets } = store.rows.value;
    follow();
    if (resets !== reader.resets) {
      reader.resets = resets;
      if (resets > 1 && !reader.isAtEnd.peek()) layout.reset();
    }
    reader.grew(store.rows.value);
    place();
  });

  useSignalEffect(() => {
    const { ids, firstIndex } = store.rows.peek();
    const at = wanted.value === null ? -1 : ids.indexOf(wanted.value);
    if (at < 0) return;
    wanted.value = null;
    reader.isAtEnd.value = false;
    reader.anchor = { index: firstIndex + at, offset: -REVEALED_BELOW_PX };
    place();
  });

  const rows = useComputed(() => {
    const { ids, firstIndex } = store.rows.value;
    const { first, last } = shown.value;
    return ids.slice(Math.max(0, first - firstIndex), Math.max(0, last - firstIndex + 1))
      .map((id, at) => ({ id, index: Math.max(first, firstIndex) + at }));
  });
  const missed = useComputed(() => {
    const { ids, firstIndex } = store.rows.value;
    return reader.isAtEnd.value ? 0 : Math.max(0, firstIndex + ids.length - reader.seenTo.value);
  });
  const toEnd = () => {
    reader.atEnd(store.rows.peek());
    place();
  };

  return (
    <div class="timeline-frame">
      <div
        class="timeline"
        ref={scroller}
        onScroll={onScroll}
        tabIndex={0}
        role="log"
        aria-label="Timeline"
        aria-live="off"
      >
        <Older />
        <div class="timeline-column" ref={column}>
          {rows.value.map(({ id, index }) => <Row key={id} id={id} index={index} layout={layout} sizes={sizes} />)}
        </div>
        <div class="timeline-tail" ref={tail}>{children}</div>
      </div>
      {!reader.isAtEnd.value && (
        <button type="button" class="jump" onClick={toEnd}>
          <Icon name="down" />
          {missed.value > 0 ? `${missed.value} new` : "Latest"}
        </button>
      )}
    </div>
  );
}

/** Where the reader is. */
class Reader {
  readonly isAtEnd = signal(true);
  /** Entries up to this index (exclusive) have been at hand while the reader was at the end. */
  readonly seenTo = signal(0);
  anchor: Anchor | undefined;
  lastTop = 0;
  resets = 0;

  atEnd(rows: { ids: readonly string[]; firstIndex: number }): void {
    this.isAtEnd.value = true;
    this.grew(rows);
  }
  grew({ ids, firstIndex }: { ids: readonly string[]; firstIndex: number }): void {
    if (this.isAtEnd.peek()) this.seenTo.value = firstIndex + ids.length;
  }
}

function Older(): JSX.Element {
  const { store } = useSession();
  const { hasOlder, ids } = store.rows.value;
  const problem = store.olderProblem.value;
  if (hasOlder && problem !== null) {
    return (
      <div class="timeline-older" role="status">
        {problem.slice(0, 1).toUpperCase() + problem.slice(1)}{" "}
        <button type="button" class="button is-quiet" onClick={() => store.loadOlder(true)}>Try again</button>
      </div>
    );
  }
  const text = hasOlder ? (store.isLoadingOlder.value ? "Loading earlier entries…" : "Earlier entries") : "";
  return <div class="timeline-older">{ids.length > 0 ? text : ""}</div>;
}

interface RowProps {
  id: string;
  index: number;
  layout: TimelineLayout;
  sizes: ResizeObserver | null;
}

function Row({ id, index, layout, sizes }: RowProps): JSX.Element {
  const element = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const row = element.current;
    if (!row) return;
    positionRow(row, layout);
    sizes?.observe(row);
    return () => sizes?.unobserve(row);
  }, [index, layout, sizes]);
  return (
    <div class="timeline-row" ref={element} data-index={index}>
      <EntryView id={id} />
    </div>
  );
}

function positionRow(row: HTMLElement, layout: TimelineLayout): void {
  row.style.transform = `translateY(${layout.topOf(Number(row.dataset.index))}px)`;
}
