import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { IS_BROWSER } from "fresh/runtime";
import Counter from "./Counter.tsx";

interface PanelProps {
  since: Date;
  links: Map<string, URL>;
  size: bigint;
  nothing: undefined;
  aside: ComponentChildren;
  children: ComponentChildren;
}

/** Shows its children, its aside only when opened, and loads a module when asked. */
export default function Panel({ since, links, size, nothing, aside, children }: PanelProps) {
  const open = useSignal(false);
  const loaded = useSignal("");
  const inner = useSignal(10);
  const kinds = [since instanceof Date, links.get("home") instanceof URL, typeof size, typeof nothing].join(" ");
  return (
    <section data-live={IS_BROWSER} data-kinds={kinds}>
      <div class="children">{children}</div>
      {open.value && <div class="aside">{aside}</div>}
      <button type="button" class="open" onClick={() => open.value = !open.value}>toggle</button>
      <button
        type="button"
        class="load"
        onClick={async () => {
          const { message } = await import("../late.ts");
          loaded.value = message;
        }}
      >
        load
      </button>
      <p class="loaded">{loaded}</p>
      <div class="inner">
        <Counter count={inner} />
      </div>
    </section>
  );
}
