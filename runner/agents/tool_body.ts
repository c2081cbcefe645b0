/** Keeps the body of a tool call inside `limits.entryBytes`. Pure. */
import { limits, type ToolCallBody, type ToolContent } from "@/protocol/mod.ts";
import { takeStart } from "./tool_output.ts";

/** Longest input, diff side and all contents together that an entry keeps, in characters of JSON. */
export const maxInputChars = 512 * 1024;
export const maxDiffSideChars = 256 * 1024;
export const maxContentChars = 1536 * 1024;
/** Most contents and locations of one call. */
export const maxContents = 200;

/** The tool's input, or a short stand-in that says how large it was. */
export function boundInput(input: unknown): unknown {
  if (input === undefined) return undefined;
  const json = JSON.stringify(input);
  if (json === undefined) return undefined;
  if (json.length <= maxInputChars) return input;
  return { truncated: `input of ${json.length} characters, shown up to 2000`, start: takeStart(json, 2_000) };
}

/** Contents that fit; what does not is replaced by a text that says so. */
export function boundContents(contents: ToolContent[]): ToolContent[] {
  const kept: ToolContent[] = [];
  let chars = 0;
  for (const content of contents) {
    if (kept.length === maxContents) {
      kept.push({ type: "text", text: `${contents.length - maxContents} more contents are not shown` });
      break;
    }
    const bounded = boundContent(content, maxContentChars - chars);
    chars += contentChars(bounded);
    kept.push(bounded);
  }
  return kept;
}

function boundContent(content: ToolContent, room: number): ToolContent {
  const size = contentChars(content);
  if (content.type === "diff") {
    const isTooLong = (content.oldText?.length ?? 0) > maxDiffSideChars ||
      (content.newText?.length ?? 0) > maxDiffSideChars;
    if (isTooLong || size > room) {
      return { type: "text", text: `diff of ${content.path} (${size} characters) not shown` };
    }
  } else if (content.type === "image" && size > room) {
    return { type: "text", text: `image (${content.mediaType}, ${size} base64 characters) not shown` };
  } else if (content.type === "text" && size > room) {
    return { type: "text", text: `${takeStart(content.text, Math.max(0, room))}\n[… text cut …]` };
  }
  return content;
}

function contentChars(content: ToolContent): number {
  if (content.type === "text") return content.text.length;
  if (content.type === "image") return content.data.length;
  return content.path.length + (content.oldText?.length ?? 0) + (content.newText?.length ?? 0);
}

/** A body whose JSON stays under `limits.entryBytes` even when every character needs three bytes. */
export function fitToolBody(body: ToolCallBody): ToolCallBody {
  const bounded: ToolCallBody = {
    ...body,
    content: boundContents(body.content),
    locations: body.locations.slice(0, maxContents),
  };
  const input = boundInput(body.input);
  if (input === undefined) delete bounded.input;
  else bounded.input = input;
  if (new TextEncoder().encode(JSON.stringify(bounded)).byteLength < limits.entryBytes - 16 * 1024) return bounded;
  return {
    ...bounded,
    input: undefined,
    content: [{ type: "text", text: "The contents of this call are too large to show." }],
  };
}
