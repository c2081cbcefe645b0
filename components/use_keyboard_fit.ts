import type { RefObject } from "preact";
import { useEffect } from "preact/hooks";

/** Less is a browser's bar that comes and goes, not a keyboard. */
const KEYBOARD_MIN_PX = 120;

/** Keeps a full-height element above the soft keyboard where the browser lays pages out behind it (iOS). */
export function useKeyboardFit(element: RefObject<HTMLElement>): void {
  useEffect(() => {
    const viewport = globalThis.visualViewport;
    if (!viewport) return;
    const fit = () => {
      const box = element.current;
      if (!box) return;
      const isCovered = viewport.scale === 1 && innerHeight - viewport.height > KEYBOARD_MIN_PX;
      box.style.height = isCovered ? `${viewport.height}px` : "";
      if (isCovered) scrollTo(0, 0);
    };
    viewport.addEventListener("resize", fit);
    return () => viewport.removeEventListener("resize", fit);
  }, [element]);
}
