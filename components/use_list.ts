import { type Signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { errorText } from "@/client/api.ts";

export interface EditedList<T> {
  /** Null until it was read. */
  readonly items: Signal<T[] | null>;
  /** What went wrong last, in a sentence for the person. */
  readonly problem: Signal<string | null>;
  /** Does something to the list, then reads it again. Never rejects: what went wrong is in `problem`. */
  change(work: () => Promise<unknown>): Promise<void>;
}

/** A list of the hub's that this page changes: read when it is shown, and after each change. */
export function useList<T>(read: () => Promise<T[]>): EditedList<T> {
  const items = useSignal<T[] | null>(null);
  const problem = useSignal<string | null>(null);
  const change = async (work: () => Promise<unknown>) => {
    problem.value = null;
    try {
      await work();
      items.value = await read();
    } catch (error) {
      problem.value = errorText(error);
    }
  };
  useEffect(() => {
    void change(() => Promise.resolve());
  }, []);
  return { items, problem, change };
}
