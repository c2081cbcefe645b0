/** Scrolling a terminal with a finger, which xterm.js leaves out. */
import type { Terminal } from "@xterm/xterm";

/** Less is a tap that trembled. */
const SLOP_PX = 8;

/**
 * Moves the scrollback with the finger; in a full-screen program, which has none, turns the movement into the wheel's, which the
 * terminal hands to the program. Until `signal` aborts.
 */
export function scrollByTouch(terminal: Terminal, element: HTMLElement, signal: AbortSignal): void {
  /** Null: the gesture is not for this. */
  let last: number | null = null;
  let startX = 0;
  let restPx = 0;
  let isScrolling = false;
  const rowPx = () => Math.max(1, element.clientHeight / terminal.rows);
  element.addEventListener("touchstart", ({ touches }) => {
    last = touches.length === 1 ? touches[0]!.clientY : null;
    startX = touches[0]?.clientX ?? 0;
    restPx = 0;
    isScrolling = false;
  }, { signal, passive: true });
  element.addEventListener("touchmove", (event) => {
    const touch = event.touches[0];
    if (last === null || touch === undefined || event.touches.length !== 1) return;
    const movedPx = last - touch.clientY;
    if (!isScrolling) {
      const asidePx = Math.abs(touch.clientX - startX);
      if (Math.max(asidePx, Math.abs(movedPx)) < SLOP_PX) return;
      // Sideways the browser moves the screen of another window's size, where it is wider than this one.
      if (asidePx > Math.abs(movedPx)) {
        last = null;
        return;
      }
    }
    isScrolling = true;
    // Neither the page nor a selection moves with it.
    event.preventDefault();
    last = touch.clientY;
    restPx += movedPx;
    const lines = Math.trunc(restPx / rowPx());
    if (lines === 0) return;
    restPx -= lines * rowPx();
    if (terminal.buffer.active.type === "normal") return terminal.scrollLines(lines);
    const { clientX, clientY } = touch;
    const screen = element.querySelector(".xterm-screen") ?? element;
    screen.dispatchEvent(
      new WheelEvent("wheel", {
        deltaY: lines * rowPx(),
        deltaMode: WheelEvent.DOM_DELTA_PIXEL,
        bubbles: true,
        cancelable: true,
        clientX,
        clientY,
      }),
    );
  }, { signal, passive: false });
}
