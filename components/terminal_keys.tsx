/** Keys that a touch screen's keyboard lacks. Touching them leaves the keyboard open; arrows repeat while held. */
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { ArrowKey } from "@/client/terminal_keys.ts";
import type { TerminalView } from "@/client/terminal_view.ts";

const REPEAT_AFTER_MS = 400;
const REPEAT_MS = 60;

interface KeyProps {
  label: string;
  onPress: () => void;
  isRepeating?: boolean;
  /** Of a key that holds for the next one: whether it is armed. */
  isArmed?: boolean;
  children: ComponentChildren;
}

function Key({ label, onPress, isRepeating = false, isArmed, children }: KeyProps): JSX.Element {
  const timer = useRef<ReturnType<typeof setTimeout>>();
  const release = () => clearTimeout(timer.current);
  useEffect(() => release, []);
  const hold = () => {
    onPress();
    timer.current = setTimeout(hold, REPEAT_MS);
  };
  return (
    <button
      type="button"
      class="terminal-key"
      aria-label={label}
      aria-pressed={isArmed}
      // Out of the order of Tab: whoever has a Tab key needs none of these.
      tabIndex={-1}
      onPointerDown={(event) => {
        // The terminal keeps the focus, and so the keyboard stays.
        event.preventDefault();
        onPress();
        if (isRepeating) timer.current = setTimeout(hold, REPEAT_AFTER_MS);
      }}
      onPointerUp={release}
      onPointerLeave={release}
      onPointerCancel={release}
      onMouseDown={(event) => event.preventDefault()}
      onContextMenu={(event) => event.preventDefault()}
      // Of assistive technology, which has no pointer.
      onClick={(event) => event.detail === 0 && onPress()}
    >
      {children}
    </button>
  );
}

export function TerminalKeys({ view, onPaste }: { view: TerminalView; onPaste: () => void }): JSX.Element {
  const arrows: [ArrowKey, string][] = [["left", "←"], ["down", "↓"], ["up", "↑"], ["right", "→"]];
  return (
    <div class="terminal-keys" role="toolbar" aria-label="Keys">
      <Key label="Esc" onPress={() => view.press("escape")}>Esc</Key>
      <Key label="Tab" onPress={() => view.press("tab")}>Tab</Key>
      <Key label="Shift Tab" onPress={() => view.press("shift-tab")}>⇧Tab</Key>
      <Key
        label="Ctrl, for the next key"
        isArmed={view.ctrl.value}
        onPress={() => view.ctrl.value = !view.ctrl.value}
      >
        Ctrl
      </Key>
      <Key label="Alt, for the next key" isArmed={view.alt.value} onPress={() => view.alt.value = !view.alt.value}>
        Alt
      </Key>
      {arrows.map(([key, sign]) => (
        <Key key={key} label={`Arrow ${key}`} isRepeating onPress={() => view.arrow(key)}>{sign}</Key>
      ))}
      <Key label="Paste" onPress={onPaste}>Paste</Key>
    </div>
  );
}
