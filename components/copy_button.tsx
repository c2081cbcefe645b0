/** Copies a text and says so. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Icon } from "./icons.tsx";

const SAID_MS = 1_500;

export function CopyButton({ text, label = "Copy" }: { text: string; label?: string }): JSX.Element {
  const outcome = useSignal<"copied" | "failed" | null>(null);
  useEffect(() => {
    if (outcome.value === null) return;
    const timer = setTimeout(() => outcome.value = null, SAID_MS);
    return () => clearTimeout(timer);
  }, [outcome.value]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      outcome.value = "copied";
    } catch {
      outcome.value = "failed";
    }
  };
  return (
    <button type="button" class="button is-quiet is-small" onClick={copy}>
      <Icon name={outcome.value === "copied" ? "check" : "copy"} />
      <span aria-live="polite">
        {outcome.value === null ? label : outcome.value === "copied" ? "Copied" : "Select and copy by hand"}
      </span>
    </button>
  );
}
