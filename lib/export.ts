/** A session as a file: JSONL or Markdown, streamed from its first entry, with what only the runner still has while that is online. */
import { type Entry, type SessionInfo, type SessionMeta } from "@/protocol/mod.ts";
import { type GatewayContext, GatewayError } from "@/lib/gateway/context.ts";
import { loadPage } from "@/lib/gateway/history.ts";
import { markdownEntry, markdownHeader, markdownMissing } from "./export_markdown.ts";

export type ExportFormat = "jsonl" | "markdown";

/** Entries that are in memory at once: pages are read backwards, so a window is put together before it is written. */
const WINDOW_ENTRIES = 32;

type Piece =
  | { type: "entry"; entry: Entry }
  /** Entries that could not be had, both indexes inclusive. */
  | { type: "missing"; from: number; to: number; reason: string };

/** The export as an HTTP response. The caller has checked that the session is the user's. */
export async function exportSession(
  ctx: GatewayContext,
  session: SessionInfo,
  format: ExportFormat,
): Promise<Response> {
  const { meta } = await ctx.store.log.meta(session.sessionId);
  const lines = exportLines(ctx, session, meta, format);
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      const { done, value } = await lines.next();
      if (done) controller.close();
      else controller.enqueue(encoder.encode(value));
    },
    async cancel() {
      await lines.return(undefined);
    },
  });
  return new Response(body, {
    headers: {
      "content-type": format === "jsonl" ? "application/x-ndjson; charset=utf-8" : "text/markdown; charset=utf-8",
      "content-disposition": `attachment; filename="${exportName(session, meta, format)}"`,
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
    },
  });
}

/** A file name that is safe everywhere: from the title, else the folder, with the beginning of the id. */
export function exportName(
  { sessionId, sessionName, cwd }: Pick<SessionInfo, "sessionId" | "sessionName" | "cwd">,
  { title }: Pick<SessionMeta, "title">,
  format: ExportFormat,
): string {
  const name = title ?? sessionName ?? cwd.split("/").at(-1) ?? "";
  const plain = name.normalize("NFKD").replace(/[^A-Za-z0-9]+/g, "-").replace(/^-+|-+$/g, "").toLowerCase().slice(
    0,
    60,
  );
  const id = sessionId.replace(/[^A-Za-z0-9]/g, "").slice(0, 8);
  return [plain.replace(/-+$/, ""), id].filter((part) => part !== "").join("-") +
    (format === "jsonl" ? ".jsonl" : ".md");
}

async function* exportLines(
  ctx: GatewayContext,
  session: SessionInfo,
  meta: SessionMeta,
  format: ExportFormat,
): AsyncGenerator<string, void, void> {
  const pieces = exportPieces(ctx, session);
  // The head says what is missing, so the first piece must be known before it is written.
  let next = await pieces.next();
  if (format === "jsonl") {
    const missing = !next.done && next.value.type === "missing" ? { missing: next.value } : {};
    yield `${JSON.stringify({ type: "session", session, meta, ...missing })}\n`;
  } else yield markdownHeader(session, meta);
  for (; !next.done; next = await pieces.next()) {
    const piece = next.value;
    if (format === "jsonl") yield `${JSON.stringify(piece.type === "entry" ? plainEntry(piece.entry) : piece)}\n`;
    else if (piece.type === "entry") yield markdownEntry(piece.entry);
    else yield markdownMissing(piece.from, piece.to, piece.reason);
  }
}

function plainEntry({ id, index, kind, head, body }: Entry): Omit<Entry, "seq"> {
  return { id, index, kind, head, body };
}

/** Every entry that was committed when it began, from the first on. */
async function* exportPieces(ctx: GatewayContext, session: SessionInfo): AsyncGenerator<Piece, void, void> {
  const end = (await ctx.store.log.head(session.sessionId))?.nextIndex ?? 0;
  for (let start = 0; start < end;) {
    const stop = Math.min(start + WINDOW_ENTRIES, end);
    const entries: Entry[] = [];
    let from = stop;
    let reason: string | null = null;
    try {
      while (from > start) {
        const page = await loadPage(ctx, session, from, from - start);
        if (page.entries.length === 0) {
          reason = "the runner's journal does not have them";
          break;
        }
        entries.unshift(...page.entries);
        from = page.entries[0]!.index;
      }
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      reason = error.message;
    }
    if (reason !== null) {
      // What the runner cannot give now ends where the hub's own entries begin.
      const oldest = (await ctx.store.log.head(session.sessionId))?.oldestIndex ?? end;
      const until = entries.length > 0 ? from : Math.max(stop, Math.min(oldest, end));
      yield { type: "missing", from: start, to: until - 1, reason };
      if (entries.length === 0) {
        start = until;
        continue;
      }
    }
    for (const entry of entries) yield { type: "entry", entry };
    start = stop;
  }
}
