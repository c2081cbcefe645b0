/** A small menu behind a button. Closes on Escape, on a click elsewhere and after a choice. */
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Icon } from "./icons.tsx";

interface MenuProps {
  label: string;
  icon?: "menu" | "chevron";
  children: ComponentChildren;
}

export function Menu({ label, icon = "menu", children }: MenuProps): JSX.Element {
  const box = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const close = (event: Event) => {
      const menu = box.current;
      if (!menu?.open || (event.type === "pointerdown" && menu.contains(event.target as Node))) return;
      if (event.type === "keydown" && (event as KeyboardEvent).key !== "Escape") return;
      menu.open = false;
      if (event.type === "keydown") menu.querySelector("summary")?.focus();
    };
    document.addEventListener("pointerdown", close);
    document.addEventListener("keydown", close);
    return () => {
      document.removeEventListener("pointerdown", close);
      document.removeEventListener("keydown", close);
    };
  }, []);
  return (
    <details class="menu" ref={box}>
      <summary class="button is-quiet is-icon" aria-label={label}>
        <Icon name={icon} />
      </summary>
      <div class="menu-list" onClick={() => box.current && (box.current.open = false)}>{children}</div>
    </details>
  );
}
