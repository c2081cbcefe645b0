/** The edge of the pane beside a timeline: dragged, or moved with the arrow keys. The width is remembered on this device. */
import type { JSX, RefObject } from "preact";
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

const KEY = "perch.side.percent";
const MIN_PERCENT = 25;
const MAX_PERCENT = 75;
const STEP_PERCENT = 5;
const DEFAULT_PERCENT = 50;

export function SideHandle({ pane }: { pane: RefObject<HTMLElement> }): JSX.Element {
  const percent = useSignal(readPercent());
  const move = (next: number) => {
    percent.value = Math.round(Math.min(MAX_PERCENT, Math.max(MIN_PERCENT, next)));
    try {
      localStorage.setItem(KEY, String(percent.value));
    } catch {
      // Storage may be full or forbidden: then the width is this page's.
    }
  };
  useEffect(() => pane.current?.parentElement?.style.setProperty("--side", `${percent.value}%`), [percent.value]);
  const drag = (event: PointerEvent) => {
    const box = pane.current?.parentElement?.getBoundingClientRect();
    if (box === undefined || event.buttons !== 1) return;
    move((box.right - event.clientX) / box.width * 100);
  };
  return (
    <div
      class="side-handle"
      role="separator"
      aria-orientation="vertical"
      aria-label="Width"
      aria-valuenow={percent.value}
      aria-valuemin={MIN_PERCENT}
      aria-valuemax={MAX_PERCENT}
      tabIndex={0}
      onPointerDown={(event) => event.currentTarget.setPointerCapture(event.pointerId)}
      onPointerMove={drag}
      onKeyDown={(event) => {
        const step = { ArrowLeft: STEP_PERCENT, ArrowRight: -STEP_PERCENT }[event.key];
        if (step === undefined) return;
        event.preventDefault();
        move(percent.peek() + step);
      }}
    />
  );
}

function readPercent(): number {
  try {
    const kept = Number(localStorage.getItem(KEY));
    return kept >= MIN_PERCENT && kept <= MAX_PERCENT ? kept : DEFAULT_PERCENT;
  } catch {
    return DEFAULT_PERCENT;
  }
}
