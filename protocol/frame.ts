/** Text frames: one JSON message or an array of them, each parsed against the schema that its `type` names. */
import * as z from "zod/mini";
import { limits } from "./limits.ts";
import type { ErrorMessage } from "./shared.ts";

/** The messages of one direction of a namespace, by their `type`. */
export type MessageSchemas = Readonly<Record<string, z.ZodMiniType>>;
export type MessageOf<S extends MessageSchemas> = { [K in keyof S]: z.infer<S[K]> }[keyof S];

export interface ParsedFrame<M> {
  /** Well-formed messages, in order. */
  messages: M[];
  /** What was wrong with the others. `bad_frame` and `too_large` speak of the whole frame. */
  errors: ErrorMessage[];
  /** Messages of a type that this side does not know: ignored, to be counted. */
  unknownTypes: number;
}

/**
 * Parses a frame. Never throws: what is wrong comes back as typed errors that name the field; well-formed messages beside
 * a malformed one are kept. `text` that is not a string (a binary frame) is a `bad_frame`.
 */
export function parseFrame<S extends MessageSchemas>(schemas: S, text: unknown): ParsedFrame<MessageOf<S>> {
  const frame: ParsedFrame<MessageOf<S>> = { messages: [], errors: [], unknownTypes: 0 };
  if (typeof text !== "string") {
    frame.errors.push({ type: "error", code: "bad_frame", message: "expected a text frame, got a binary one" });
    return frame;
  }
  if (text.length > limits.frameBytes) {
    frame.errors.push({
      type: "error",
      code: "too_large",
      message: `a frame of ${text.length} characters is over the limit of ${limits.frameBytes} bytes`,
    });
    return frame;
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    frame.errors.push({ type: "error", code: "bad_frame", message: "the frame is not JSON" });
    return frame;
  }
  const items = Array.isArray(value) ? value : [value];
  if (items.length > limits.messagesPerFrame) {
    frame.errors.push({
      type: "error",
      code: "too_large",
      message: `a frame of ${items.length} messages is over the limit of ${limits.messagesPerFrame}`,
    });
    return frame;
  }
  for (const item of items) parseItem(schemas, item, frame);
  return frame;
}

function parseItem<S extends MessageSchemas>(schemas: S, item: unknown, frame: ParsedFrame<MessageOf<S>>): void {
  const type = (item as { type?: unknown } | null)?.type;
  if (typeof item !== "object" || item === null || typeof type !== "string") {
    frame.errors.push({
      type: "error",
      code: "bad_frame",
      message: 'a message must be an object with a string "type"',
      field: "type",
    });
    return;
  }
  const schema = Object.hasOwn(schemas, type) ? schemas[type] : undefined;
  if (schema === undefined) {
    frame.unknownTypes++;
    return;
  }
  const parsed = schema.safeParse(item);
  if (parsed.success) frame.messages.push(parsed.data as MessageOf<S>);
  else frame.errors.push(invalidMessage(type, item, parsed.error));
}

/** Turns a schema failure into the typed error that names the first wrong field and whom it answers. */
export function invalidMessage(type: string, item: object, error: z.core.$ZodError): ErrorMessage {
  const issue = error.issues[0];
  const field = issue?.path.map(String).join(".") || type;
  const { op, requestId, sessionId } = item as { op?: unknown; requestId?: unknown; sessionId?: unknown };
  const ref = typeof op === "string" ? op : typeof requestId === "string" ? requestId : undefined;
  return {
    type: "error",
    code: "invalid_message",
    message: `${type}: ${field}: ${issue?.message ?? "is not valid"}`.slice(0, 2_000),
    field: field.slice(0, 256),
    ...(ref !== undefined && ref.length <= 128 ? { ref } : {}),
    ...(typeof sessionId === "string" && /^[A-Za-z0-9._:@-]{1,128}$/.test(sessionId) ? { sessionId } : {}),
  };
}
