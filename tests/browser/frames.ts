/** What a reader of the timeline sees, painted frame by painted frame. */
import assert from "node:assert/strict";
import type { Page } from "./browser.ts";

/** One painted frame. */
export interface Frame {
  /** Rows in the window: index of the entry → distance of its top from the window's top, in px. */
  tops: Record<string, number>;
  /** Rows on the page, in the window or not. */
  mounted: number;
  /** Pixels between the end of the timeline and the end of the window. */
  fromEnd: number;
  /** ms since the frame before. */
  tookMs: number;
}

/** Records every frame that is painted while `act` runs and until the timeline has stood still. */
export async function recordFrames(page: Page, act: () => Promise<void>): Promise<Frame[]> {
  const recording = await page.evaluateHandle(() => {
    const box = document.querySelector(".timeline")!;
    const frames: Frame[] = [];
    const channel = new MessageChannel();
    let isOver = false;
    let lastAt = performance.now();
    // A message that is posted in an animation frame arrives when that frame has been laid out and painted.
    channel.port1.onmessage = () => {
      const window = box.getBoundingClientRect();
      const tops: Record<string, number> = {};
      const rows = box.querySelectorAll<HTMLElement>(".timeline-row");
      for (const row of rows) {
        const { top, bottom } = row.getBoundingClientRect();
        if (bottom > window.top && top < window.bottom) tops[row.dataset.index!] = top - window.top;
      }
      const now = performance.now();
      const fromEnd = box.scrollHeight - box.clientHeight - box.scrollTop;
      frames.push({ tops, mounted: rows.length, fromEnd, tookMs: now - lastAt });
      lastAt = now;
      if (!isOver) requestAnimationFrame(look);
    };
    const look = () => channel.port2.postMessage(null);
    requestAnimationFrame(look);
    return { frames, stop: () => isOver = true };
  });
  await act();
  await standStill(page);
  const frames = await recording.evaluate(({ frames, stop }) => {
    stop();
    return frames;
  });
  await recording.dispose();
  return frames;
}

/** Resolves when nothing in the timeline has moved for some frames. */
export async function standStill(page: Page): Promise<void> {
  await page.evaluate(async () => {
    const box = document.querySelector(".timeline")!;
    const place = () =>
      `${box.scrollTop} ${box.scrollHeight} ${box.querySelector(".timeline-row")?.textContent?.length}`;
    for (let still = 0, last = ""; still < 6; still++) {
      await new Promise(requestAnimationFrame);
      if (place() !== last) still = 0;
      last = place();
    }
  });
}

/** How far the rows moved between two frames (positive: down), and that all of them moved alike; null: no row is in both. */
export function movementPx(before: Frame, after: Frame): number | null {
  const moves = Object.keys(after.tops).filter((index) => index in before.tops)
    .map((index) => after.tops[index]! - before.tops[index]!);
  if (moves.length === 0) return null;
  const [least, most] = [Math.min(...moves), Math.max(...moves)];
  assert.ok(most - least <= 2, `rows moved by ${least} to ${most} px in one frame`);
  return moves[0]!;
}
