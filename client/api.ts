/** Calls to the hub's REST interface. Answers are parsed like every other message; errors keep the hub's words. */
import * as z from "zod/mini";

/** What the hub said was wrong; `field` names the input that it is about. */
export class ApiError extends Error {
  override name = "ApiError";
  constructor(readonly status: number, readonly code: string, message: string, readonly field?: string) {
    super(message);
  }
}

const ErrorBody = z.object({
  error: z.object({ code: z.string(), message: z.string(), field: z.optional(z.string()) }),
});

/** Sends a request and parses its answer. Throws an {@linkcode ApiError} for any answer that is not what `schema` describes. */
export async function api<S extends z.ZodMiniType>(
  schema: S,
  method: "GET" | "POST" | "PATCH" | "DELETE",
  path: string,
  body?: unknown,
): Promise<z.infer<S>> {
  const init: RequestInit = { method, headers: { accept: "application/json" } };
  if (method !== "GET") {
    init.headers = { accept: "application/json", "content-type": "application/json" };
    init.body = JSON.stringify(body ?? {});
  }
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch {
    throw new ApiError(0, "unreachable", "The hub cannot be reached. Check the connection and try again.");
  }
  const value: unknown = response.status === 204 ? null : await response.json().catch(() => undefined);
  if (!response.ok) throw errorOf(response, value);
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new ApiError(response.status, "bad_answer", "The hub gave an answer that this page cannot read. Reload it.");
}

function errorOf(response: Response, value: unknown): ApiError {
  const parsed = ErrorBody.safeParse(value);
  if (parsed.success) {
    const { code, message, field } = parsed.data.error;
    return new ApiError(response.status, code, message, field);
  }
  const message = (value as { message?: unknown } | null | undefined)?.message;
  return new ApiError(
    response.status,
    "failed",
    typeof message === "string" ? message : `The hub answered with status ${response.status}.`,
  );
}

/** Any answer will do. */
export const Anything: z.ZodMiniType<unknown> = z.unknown();

/** The text to show for whatever was thrown. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
