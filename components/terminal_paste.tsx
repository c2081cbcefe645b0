/** Pasting where the browser does not let a page read the clipboard. */
import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import { Dialog } from "./dialog.tsx";

export function PasteByHand({ onText, onClose }: { onText: (text: string) => void; onClose: () => void }): JSX.Element {
  const field = useRef<HTMLTextAreaElement>(null);
  return (
    <Dialog title="Paste into the terminal" onClose={onClose}>
      <p class="quiet">The browser does not let this page read the clipboard. Paste here instead.</p>
      <textarea ref={field} class="field" rows={5} aria-label="Text" />
      <div class="button-row is-end">
        <button
          type="button"
          class="button is-primary"
          onClick={() => {
            onText(field.current?.value ?? "");
            onClose();
          }}
        >
          Send
        </button>
      </div>
    </Dialog>
  );
}
