import { useState } from "preact/hooks";
import { useSession } from "./session_context.ts";

/** Whether a person opened the entry `id`; outlives its leaving and re-entering the page. */
export function useOpened(id: string, initially: boolean): [boolean, (isOpen: boolean) => void] {
  const { opened } = useSession();
  const [isOpen, setOpen] = useState(opened.get(id) ?? initially);
  return [isOpen, (next) => {
    opened.set(id, next);
    setOpen(next);
  }];
}
