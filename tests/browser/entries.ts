/** Entries as a session host would write them: one of every kind, and long timelines. */
import type { EntryBodies, EntryHead, EntryKind, WireEntry } from "@/protocol/mod.ts";

/** An entry of `kind` at `index`; `head` is completed unless it says otherwise. */
export function entryOf<K extends EntryKind>(
  index: number,
  kind: K,
  body: EntryBodies[K],
  head: Partial<EntryHead> = {},
): WireEntry {
  const text = "text" in body ? body.text : "output" in body ? body.output : "";
  return {
    id: `entry-${index}`,
    index,
    kind,
    head: { status: "completed", startedAt: 1_000, endedAt: 4_200, textLength: text.length, ...head },
    body,
  };
}

const answerText = `## What I found

The parser reads **the whole file** before it looks at the \`header\`. Three things follow:

1. large files need as much memory as they have bytes
2. a broken header is found late
   - [ ] write a test
   - [x] read the [format's page](https://example.com/format)

> A header is at most 64 bytes.

| file | bytes | time |
|:-----|------:|-----:|
| a.bin | 1,024 | 2 ms |
| b.bin | 9,437,184 | 310 ms |

\`\`\`ts
// Reads only what is needed.
export async function readHeader(file: Deno.FsFile): Promise<Uint8Array> {
  const header = new Uint8Array(64);
  await file.read(header);
  return header;
}
\`\`\`
`;

const oldText =
  'import { read } from "./read.ts";\n\nexport function header(path: string) {\n  return read(path).slice(0, 64);\n}\n';
const newText =
  'import { readHeader } from "./read.ts";\n\nexport function header(path: string) {\n  return readHeader(path);\n}\n';

/** One entry of every kind and state that a timeline can show, from `index` on; the last waits for an answer. */
export function everyKind(index = 0): WireEntry[] {
  const make: ((at: number) => WireEntry)[] = [
    (at) => entryOf(at, "user_message", { text: "Make the parser read less.\nThe header is enough.", from: "Ann" }),
    (at) => entryOf(at, "thought", { text: "The person wants less memory. I look at **read.ts** first." }),
    (at) => entryOf(at, "agent_message", { text: answerText }),
    (at) =>
      entryOf(at, "tool_call", {
        toolCallId: "read-1",
        input: { path: "/work/src/read.ts" },
        output: "",
        content: [{ type: "text", text: "export function read(path: string) {}" }],
        locations: [{ path: "/work/src/read.ts" }],
      }, { title: "Read src/read.ts", toolKind: "read" }),
    (at) =>
      entryOf(at, "tool_call", {
        toolCallId: "run-1",
        input: { command: "deno test" },
        output: "running 3 tests\n\u001b[31mFAILED\u001b[0m (12ms)\n",
        content: [],
        locations: [],
        exitCode: 1,
      }, { title: "deno test", toolKind: "execute", status: "failed" }),
    (at) =>
      entryOf(at, "tool_call", {
        toolCallId: "edit-1",
        input: { path: "/work/src/header.ts" },
        output: "",
        content: [{ type: "diff", path: "/work/src/header.ts", oldText, newText }],
        locations: [{ path: "/work/src/header.ts" }],
      }, { title: "Edit src/header.ts", toolKind: "edit" }),
    (at) => entryOf(at, "notice", { level: "info", text: "The model is now small-2." }),
    (at) => entryOf(at, "notice", { level: "warning", text: "The model was busy.", detail: "429: try again later" }),
    (at) => entryOf(at, "notice", { level: "error", text: "The turn failed.", detail: "500: internal error" }),
    (at) => entryOf(at, "agent_message", { text: "I was going to" }, { status: "cancelled" }),
    (at) =>
      entryOf(at, "tool_call", { toolCallId: "run-2", output: "", content: [], locations: [] }, {
        title: "deno lint",
        toolKind: "execute",
        status: "cancelled",
      }),
    (at) =>
      entryOf(at, "interaction", {
        interaction: "permission",
        message: "May I write src/header.ts?",
        options: [{ optionId: "yes", name: "Allow once", kind: "allow_once" }],
        answer: { outcome: "selected", optionId: "yes", by: "Ann", at: 2_000 },
      }),
    (at) =>
      entryOf(at, "tool_call", { toolCallId: "run-3", output: "Checking 3 files", content: [], locations: [] }, {
        title: "deno check src/main.ts src/read.ts src/header.ts",
        toolKind: "execute",
        status: "running",
      }),
    (at) => permission(at),
  ];
  return make.map((one, at) => one(index + at));
}

/** A permission request that waits, about a change of a file. */
export function permission(index: number): WireEntry {
  return entryOf(index, "interaction", {
    interaction: "permission",
    message: "May I write src/header.ts?",
    toolName: "edit",
    content: [{ type: "diff", path: "/work/src/header.ts", oldText, newText }],
    options: [
      { optionId: "no", name: "Reject", kind: "reject_once" },
      { optionId: "always", name: "Always allow", kind: "allow_always" },
      { optionId: "yes", name: "Allow once", kind: "allow_once" },
    ],
  }, { status: "pending", attention: true });
}

/** A long and varied timeline: messages of many lengths, thoughts, tool calls, notices; the same every time. */
export function longTimeline(count: number): WireEntry[] {
  return Array.from({ length: count }, (_, index) => {
    const size = (index * 7919) % 11;
    switch (index % 8) {
      case 0:
        return entryOf(index, "user_message", { text: `Question ${index}. ${"More words of it. ".repeat(size)}` });
      case 1:
      case 5:
        return entryOf(index, "thought", { text: `Thinking about ${index}.` });
      case 2:
      case 7:
        return entryOf(index, "agent_message", { text: message(index, size) });
      case 6:
        return entryOf(index, "notice", { level: "info", text: `Notice ${index}` });
      default:
        return entryOf(index, "tool_call", {
          toolCallId: `call-${index}`,
          input: { command: `step ${index}` },
          output: `line of ${index}\n`.repeat(size + 1),
          content: [],
          locations: [],
        }, { title: `step ${index}`, toolKind: "execute" });
    }
  });
}

function message(index: number, size: number): string {
  const parts = [`Answer ${index}.`];
  for (let at = 0; at < size; at++) {
    if (at % 3 === 1) parts.push(`\`\`\`ts\nconst part${at} = ${index};\nconsole.log(part${at});\n\`\`\``);
    else if (at % 3 === 2) parts.push(`- one of ${index}\n- two **of** it\n- three`);
    else {parts.push(
        `A paragraph of answer ${index} that has enough words to wrap on a phone, and then a few more. `.repeat(2),
      );}
  }
  return parts.join("\n\n");
}

/** What the meta of a working session holds: plan, usage, models, modes, commands, a queue. */
export const busyMeta = {
  activity: "waiting" as const,
  attention: 1,
  model: { provider: "demo", id: "small-2", name: "Small 2" },
  models: [{ provider: "demo", id: "small-2", name: "Small 2" }, { provider: "demo", id: "large-1", name: "Large 1" }],
  mode: { currentModeId: "ask", availableModes: [{ id: "ask", name: "Ask first" }, { id: "auto", name: "Automatic" }] },
  plan: [
    { content: "Read the parser", status: "completed" as const },
    { content: "Change what it reads", status: "in_progress" as const },
    { content: "Run the tests", status: "pending" as const },
    { content: "Write to the list", status: "cancelled" as const },
  ],
  usage: { contextTokens: 91_000, contextSize: 100_000, input: 120_000, output: 4_000 },
  commands: [{ name: "review", description: "Reviews the last change" }, { name: "compact" }],
  queue: [{ op: "queued-1", text: "Then write the notes of the release", delivery: "follow_up" as const }],
  can: { steer: true, followUp: true, image: true, compact: true, newConversation: true, resume: true },
};
