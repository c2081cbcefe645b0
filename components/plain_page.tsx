/** The frame of pages that hold one thing in the middle: sign-in, set-up, errors. */
import type { ComponentChildren, JSX } from "preact";
import { Mark } from "./icons.tsx";

export function PlainPage({ children }: { children: ComponentChildren }): JSX.Element {
  return (
    <main class="plain-page">
      <a class="brand is-large" href="/">
        <Mark size={40} />
        <span>Perch</span>
      </a>
      {children}
    </main>
  );
}
