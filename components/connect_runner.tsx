/** How to connect a machine, with the commands ready to copy. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { CopyButton } from "./copy_button.tsx";

export function ConnectRunner(): JSX.Element {
  const origin = useSignal("https://your-hub");
  useEffect(() => {
    origin.value = location.origin;
  }, []);
  return (
    <ol class="steps">
      <li>
        <p>On the machine where your code lives, sign this machine in. A browser opens to approve it.</p>
        <Command text={`perch login ${origin.value}`} />
      </li>
      <li>
        <p>Start the runner. It shows up here within a second.</p>
        <Command text="perch runner" />
      </li>
    </ol>
  );
}

export function Command({ text }: { text: string }): JSX.Element {
  return (
    <div class="command">
      <code tabIndex={0}>{text}</code>
      <CopyButton text={text} />
    </div>
  );
}
