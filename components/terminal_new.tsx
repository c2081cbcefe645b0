/** Opening a terminal: in which folder, with which program. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { Dialog } from "./dialog.tsx";
import { FolderPicker } from "./folder_picker.tsx";

interface NewTerminalDialogProps {
  runnerId: string;
  roots: readonly string[];
  cwd: string;
  problem: string | null;
  onMake: (cwd: string, command?: string[]) => Promise<boolean>;
  onClose: () => void;
}

export function NewTerminalDialog(
  { runnerId, roots, cwd, problem, onMake, onClose }: NewTerminalDialogProps,
): JSX.Element {
  const folder = useSignal(cwd);
  const command = useSignal("");
  const submit = async (event: Event) => {
    event.preventDefault();
    const line = command.value.trim();
    // A shell reads the line: quotes and variables mean what people expect.
    if (await onMake(folder.value, line === "" ? undefined : ["/bin/sh", "-lc", `exec ${line}`])) onClose();
  };
  return (
    <Dialog title="New terminal" onClose={onClose}>
      <form class="stack" onSubmit={submit}>
        <FolderPicker
          runnerId={runnerId}
          roots={roots}
          recent={[]}
          value={folder}
          onChange={(path) => folder.value = path}
          error={problem ?? undefined}
        />
        <label class="form-field">
          Program
          <input
            class="field mono"
            value={command.value}
            placeholder="your shell"
            autocapitalize="none"
            spellcheck={false}
            onInput={(event) => command.value = event.currentTarget.value}
          />
        </label>
        <div class="button-row is-end">
          <button type="submit" class="button is-primary">Open</button>
        </div>
      </form>
    </Dialog>
  );
}
