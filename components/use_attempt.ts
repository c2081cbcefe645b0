import { type ReadonlySignal, useSignal } from "@preact/signals";
import { ApiError, errorText } from "@/client/api.ts";

export interface Problem {
  /** The input that it is about; null: it is about none of them. */
  field: string | null;
  text: string;
}

/** A value that a form cannot send. */
export class FieldError extends Error {
  override name = "FieldError";
  constructor(readonly field: string, message: string) {
    super(message);
  }
}

/** Does something that may fail, with what went wrong as a signal. One at a time: further calls meanwhile do nothing. */
export function useAttempt(): {
  problem: ReadonlySignal<Problem | null>;
  isBusy: ReadonlySignal<boolean>;
  /** Resolves with whether it succeeded. */
  attempt: (work: () => Promise<void>) => Promise<boolean>;
} {
  const problem = useSignal<Problem | null>(null);
  const isBusy = useSignal(false);
  const attempt = async (work: () => Promise<void>) => {
    if (isBusy.peek()) return false;
    isBusy.value = true;
    problem.value = null;
    try {
      await work();
      return true;
    } catch (error) {
      const isPlaced = error instanceof ApiError || error instanceof FieldError;
      problem.value = { field: isPlaced ? error.field ?? null : null, text: errorText(error) };
      return false;
    } finally {
      isBusy.value = false;
    }
  };
  return { problem, isBusy, attempt };
}
