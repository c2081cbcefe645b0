/** The receipts that the daemon has given, on disk: a command that is delivered again after a restart has no second effect. */
import { limits } from "@/protocol/mod.ts";
import { readAllSync, writeAllSync, writeFileAtomic } from "./atomic_file.ts";
import { loadJournal } from "./journal.ts";
import type { OpOutcome } from "./journal_index.ts";
import { encodeLine, lineJson } from "./journal_line.ts";

export class RunnerOps {
  readonly #ops: Map<string, OpOutcome>;
  readonly #file: Deno.FsFile;

  private constructor(ops: Map<string, OpOutcome>, file: Deno.FsFile) {
    this.#ops = ops;
    this.#file = file;
  }

  /** Opens the file, made when missing. It is a journal of op lines, rewritten here so that it stays at limits.rememberedOps lines. */
  static open(path: string): RunnerOps {
    const old = Deno.openSync(path, { read: true, write: true, create: true, mode: 0o600 });
    const { ops } = loadJournal(readAllSync(old)).index;
    old.close();
    writeFileAtomic(path, [...ops].map(([op, outcome]) => opLine(op, outcome)).join(""));
    return new RunnerOps(ops, Deno.openSync(path, { append: true }));
  }

  get(op: string): OpOutcome | undefined {
    return this.#ops.get(op);
  }

  /** Remembers a receipt. It is in the file when this returns. */
  add(op: string, outcome: OpOutcome): void {
    writeAllSync(this.#file, new TextEncoder().encode(opLine(op, outcome)));
    this.#ops.set(op, outcome);
    for (const oldest of this.#ops.keys()) {
      if (this.#ops.size <= limits.rememberedOps) break;
      this.#ops.delete(oldest);
    }
  }

  close(): void {
    this.#file.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function opLine(op: string, outcome: OpOutcome): string {
  return new TextDecoder().decode(encodeLine(lineJson({ t: "op", op, ...outcome })));
}
