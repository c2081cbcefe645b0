/** ACP's permission requests as interactions. Pure. */
import type { InteractionBody } from "@/protocol/mod.ts";
import { contentsOf } from "./acp_updates.ts";
import { arrayOf, type JsonObject, objectOf, stringOf } from "./read.ts";
import { boundContents, boundInput } from "./tool_body.ts";
import { clip } from "./tool_output.ts";

/** The interaction for a request, linked to the entry of its tool call where that has one. */
export function permissionBody(params: JsonObject, toolEntryId: string | undefined): InteractionBody {
  const call = objectOf(params.toolCall);
  const contents = contentsOf(call.content);
  return {
    interaction: call.kind === "switch_mode" ? "plan" : "permission",
    options: permissionOptions(params.options),
    ...(contents.text === "" ? {} : { message: clip(contents.text, 20_000) }),
    ...(toolEntryId === undefined ? {} : { toolEntryId }),
    ...(call.rawInput === undefined ? {} : { input: boundInput(call.rawInput) }),
    ...(contents.content.length === 0 ? {} : { content: boundContents(contents.content) }),
  };
}

function permissionOptions(value: unknown): InteractionBody["options"] {
  return arrayOf(value).slice(0, 50).flatMap((item) => {
    const { optionId, name, kind } = objectOf(item);
    if (typeof optionId !== "string") return [];
    const isKnown = kind === "allow_once" || kind === "allow_always" || kind === "reject_once" ||
      kind === "reject_always";
    return [{ optionId, name: clip(stringOf(name) ?? optionId, 500), ...(isKnown ? { kind } : {}) }];
  });
}

/** The reply to a request that was settled so. */
export function permissionReply(settlement: { outcome: string; optionId?: string }): JsonObject {
  return {
    outcome: settlement.outcome === "selected"
      ? { outcome: "selected", optionId: settlement.optionId }
      : { outcome: "cancelled" },
  };
}
