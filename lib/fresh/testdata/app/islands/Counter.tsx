import type { Signal } from "@preact/signals";

export default function Counter({ count }: { count: Signal<number> }) {
  return (
    <button type="button" onClick={() => count.value++}>
      Count: <output>{count}</output>
    </button>
  );
}
