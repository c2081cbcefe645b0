/** Rows of live isolates. */
import type { LeaseRow } from "@/lib/kv/lease.ts";

export interface IsolateRow extends LeaseRow {
  isolateId: string;
  /** The process slot that it runs in, and which start of it: a newer start of the slot means that the older is dead. */
  slot: string;
  boot: string;
  /** Where the others reach it directly: "http://10.0.0.5:7700". */
  url?: string;
}
