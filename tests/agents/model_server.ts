/**
 * A scripted model server that speaks OpenAI's chat completions over SSE, on loopback and a port of its own, for running real
 * agents without a network. A prompt chooses its script with `[[NAME]]`; the reply to a tool's result is a closing sentence.
 */
import { arrayOf, isObject, objectOf, stringOf } from "@/runner/agents/read.ts";

export type Script =
  | "text"
  | "shell"
  | "write"
  | "edit"
  | "fail"
  | "sleep"
  | "long"
  | "e401"
  | "e429"
  | "cut"
  | "think";

const scripts = new Set<string>([
  "text",
  "shell",
  "write",
  "edit",
  "fail",
  "sleep",
  "long",
  "e401",
  "e429",
  "cut",
  "think",
]);

/** What `text` says, and what every script says after a tool's result. */
export const replyText = "The perch sits still, and watches the water under the old bridge.";
export const doneText = "That is done, as you asked.";
export const thoughtText = "The water is calm today; a short answer will do.";
/** What `shell` runs, and the file that it makes. */
export const shellCommand = "echo perch-was-here > hello.txt && cat hello.txt";
/** Messages of the failing scripts. */
export const errors = { e401: "Scripted: the key is not valid", e429: "Scripted: slow down" };

type Json = Record<string, unknown>;
type Delta = Json | { finish: "stop" | "tool_calls" } | { pauseMs: number } | { cut: true };

interface ToolNames {
  name: string;
  /** The argument names, by what they mean. */
  args: { command?: string; path?: string; content?: string; oldText?: string; newText?: string; edits?: boolean };
}

export class ModelServer {
  /** Bodies of all completion requests, in order. */
  readonly requests: Json[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #tries = new Map<string, number>();
  readonly #stop = new AbortController();

  constructor() {
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request) => this.#serve(request),
    );
  }

  /** Base URL with "/v1". */
  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}/v1`;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#server.shutdown();
  }

  async #serve(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname.endsWith("/models")) {
      return Response.json({ object: "list", data: [{ id: "perch-1", object: "model" }] });
    }
    if (!pathname.endsWith("/chat/completions")) {
      return Response.json({ error: { message: "no such path" } }, { status: 404 });
    }
    const body = objectOf(await request.json());
    this.requests.push(body);
    const { script, isAfterTool, prompt } = readRequest(body);
    const attempt = (this.#tries.get(prompt) ?? 0) + 1;
    if (!isAfterTool) this.#tries.set(prompt, attempt);
    if (script === "e401") return failure(401, "authentication_error", errors.e401);
    if (script === "e429" && attempt <= 2) return failure(429, "rate_limit_error", errors.e429);
    const deltas = isAfterTool ? [...words(doneText), finish("stop")] : deltasOf(script, body, attempt);
    return stream(body.stream === true ? deltas : deltas.filter((delta) => !("pauseMs" in delta)), this.#stop.signal);
  }
}

/** The script and prompt of a request, and whether it brings a tool's result. */
function readRequest(body: Json): { script: Script; isAfterTool: boolean; prompt: string } {
  const messages = arrayOf(body.messages).map(objectOf);
  const lastUser = messages.findLastIndex((message) => message.role === "user" && /\[\[\w+\]\]/.test(textOf(message)));
  const prompt = textOf(messages[lastUser] ?? {});
  const name = /\[\[(\w+)\]\]/g.exec(prompt)?.[1] ?? "text";
  const hasTools = arrayOf(body.tools).length > 0;
  return {
    script: hasTools && scripts.has(name) ? name as Script : name.startsWith("e4") ? name as Script : "text",
    isAfterTool: messages.slice(lastUser + 1).some((message) => message.role === "tool"),
    prompt,
  };
}

function textOf(message: Json): string {
  if (typeof message.content === "string") return message.content;
  return arrayOf(message.content).map((part) => stringOf(objectOf(part).text) ?? "").join("\n");
}

function deltasOf(script: Script, body: Json, attempt: number): Delta[] {
  switch (script) {
    case "shell":
      return call(body, "command", (names) => ({ [names.command ?? "command"]: shellCommand }));
    case "fail":
      return call(body, "command", (names) => ({ [names.command ?? "command"]: "echo oops >&2; exit 3" }));
    case "sleep":
      return call(
        body,
        "command",
        (names) => ({ [names.command ?? "command"]: "for i in 1 2 3 4 5 6 7 8 9; do echo tick $i; sleep 1; done" }),
      );
    case "write":
      return call(
        body,
        "write",
        (names) => ({ [names.path ?? "path"]: "notes.md", [names.content ?? "content"]: "# Notes\n\nfirst line\n" }),
      );
    case "edit":
      return call(
        body,
        "edit",
        (names) =>
          names.edits
            ? { [names.path ?? "path"]: "notes.md", edits: [{ oldText: "first line", newText: "second line" }] }
            : {
              [names.path ?? "path"]: "notes.md",
              [names.oldText ?? "old_string"]: "first line",
              [names.newText ?? "new_string"]: "second line",
            },
      );
    case "long":
      return [
        ...Array.from({ length: 2_000 }, (_, place): Delta[] => [{ content: ` word${place}` }, { pauseMs: 10 }]).flat(),
        finish("stop"),
      ];
    case "cut":
      return attempt === 1
        ? [...words(replyText).slice(0, 4), { pauseMs: 50 }, { cut: true }]
        : [...words(replyText), finish("stop")];
    case "think":
      return [
        ...words(thoughtText).map(({ content }) => ({ reasoning_content: content })),
        ...words(replyText),
        finish("stop"),
      ];
    default:
      return [...words(replyText), finish("stop")];
  }
}

/** A call to the agent's own tool of this kind, found among the tools that the request offers. */
function call(body: Json, kind: "command" | "write" | "edit", args: (names: ToolNames["args"]) => Json): Delta[] {
  const tool = findTool(body, kind);
  const text = JSON.stringify(args(tool.args));
  const middle = Math.floor(text.length / 2);
  const id = `call_${crypto.randomUUID().slice(0, 8)}`;
  return [
    ...words("I will do that now."),
    { tool_calls: [{ index: 0, id, type: "function", function: { name: tool.name, arguments: "" } }] },
    { tool_calls: [{ index: 0, function: { arguments: text.slice(0, middle) } }] },
    { tool_calls: [{ index: 0, function: { arguments: text.slice(middle) } }] },
    finish("tool_calls"),
  ];
}

function findTool(body: Json, kind: "command" | "write" | "edit"): ToolNames {
  const pattern =
    { command: /^(bash|shell|run_shell_command)$/i, write: /^write/i, edit: /^(edit|str_?replace)/i }[kind];
  for (const item of arrayOf(body.tools)) {
    const { name, parameters } = objectOf(objectOf(item).function);
    if (typeof name !== "string" || !pattern.test(name)) continue;
    const known = Object.keys(objectOf(objectOf(parameters).properties));
    const pick = (...names: string[]) => names.find((candidate) => known.includes(candidate));
    return {
      name,
      args: {
        ...defined("command", pick("command", "cmd")),
        ...defined("path", pick("path", "file_path", "filePath")),
        ...defined("content", pick("content", "contents")),
        ...defined("oldText", pick("old_string", "oldString", "oldText")),
        ...defined("newText", pick("new_string", "newString", "newText")),
        edits: known.includes("edits"),
      },
    };
  }
  throw new Error(`the agent offers no ${kind} tool`);
}

function defined<K extends string>(key: K, value: string | undefined): { [P in K]?: string } {
  return value === undefined ? {} : { [key]: value } as { [P in K]: string };
}

function words(text: string): { content: string }[] {
  return (text.match(/\s*\S+/g) ?? []).map((content) => ({ content }));
}

function finish(reason: "stop" | "tool_calls"): Delta {
  return { finish: reason };
}

function failure(status: number, type: string, message: string): Response {
  return Response.json({ error: { message, type, code: type, param: null } }, { status });
}

function stream(deltas: Delta[], stop: AbortSignal): Response {
  const encoder = new TextEncoder();
  const id = `chatcmpl-${crypto.randomUUID()}`;
  let isOpen = true;
  const chunk = (choice: Json, usage?: Json) =>
    encoder.encode(`data: ${
      JSON.stringify({
        id,
        object: "chat.completion.chunk",
        created: 0,
        model: "perch-1",
        choices: [{ index: 0, finish_reason: null, delta: {}, ...choice }],
        ...(usage ? { usage } : {}),
      })
    }\n\n`);
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      controller.enqueue(chunk({ delta: { role: "assistant", content: "" } }));
      for (const delta of deltas) {
        if (!isOpen || stop.aborted) return;
        if ("cut" in delta) return controller.error(new Error("cut"));
        if ("pauseMs" in delta) await new Promise((resolve) => setTimeout(resolve, Number(delta.pauseMs)));
        else if ("finish" in delta) {
          const usage = { prompt_tokens: 1_000, completion_tokens: 50, total_tokens: 1_050 };
          controller.enqueue(chunk({ finish_reason: delta.finish }, usage));
        } else if (isObject(delta)) controller.enqueue(chunk({ delta }));
      }
      if (!isOpen || stop.aborted) return;
      controller.enqueue(encoder.encode("data: [DONE]\n\n"));
      controller.close();
    },
    cancel() {
      isOpen = false;
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream", "cache-control": "no-store" } });
}
