/** What the demo agent says and does for a prompt: a list of steps. Pure. */

export type DemoStep =
  | { type: "thought"; text: string }
  | { type: "text"; text: string }
  | {
    type: "plan";
    entries: {
      content: string;
      priority: "high" | "medium" | "low";
      status: "pending" | "in_progress" | "completed";
    }[];
  }
  /** Lists the working folder, as a tool call. */
  | { type: "look" }
  /** Writes the demo file, as a tool call with a diff that asks for permission. */
  | { type: "write" }
  /** A command that fails, as a tool call. Nothing is run. */
  | { type: "fail_tool" }
  /** Ends the turn with a JSON-RPC error. */
  | { type: "error"; message: string };

/** The first line of every file that the demo agent made; it never touches a file without it. */
export const demoMarker = "<!-- Written by Perch's demo agent. It may be changed or deleted by it. -->";

export const demoCommands = [
  { name: "long", description: "Streams a long answer" },
  { name: "plan", description: "Works through a plan step by step" },
  { name: "fail", description: "Shows a failing tool call and a failing turn" },
  { name: "help", description: "Says what the demo agent can show" },
];

/** The steps for a prompt. A keyword (or its slash command) as the first word chooses a show of its own. */
export function demoSteps(prompt: string, options: { isThoughtful: boolean }): DemoStep[] {
  const keyword = /^\s*\/?([a-z]+)/i.exec(prompt)?.[1]?.toLowerCase() ?? "";
  const thought: DemoStep[] = options.isThoughtful
    ? [{ type: "thought", text: `${firstThought} ${secondThought}` }]
    : [{ type: "thought", text: firstThought }];
  switch (keyword) {
    case "help":
      return [{ type: "text", text: helpText }];
    case "long":
      return [...thought, { type: "text", text: longText }];
    case "plan":
      return planSteps();
    case "fail":
      return [
        ...thought,
        { type: "text", text: "I will run a command that does not exist, so that you see how a failure looks." },
        { type: "fail_tool" },
        {
          type: "text",
          text: "The command failed. The turn now ends with an error too, as when a model server is down.",
        },
        { type: "error", message: "the demo's model server answered 529: overloaded (this is part of the show)" },
      ];
    default:
      return [
        ...thought,
        planStep(0),
        {
          type: "text",
          text: `This is Perch's **demo agent**: it follows a script, no model reads what you write. You said:\n\n> ${
            quote(prompt)
          }\n\nFirst I look around.`,
        },
        { type: "look" },
        planStep(1),
        { type: "text", text: "Now I change one small file in this folder. It is a real change, so I ask first:" },
        { type: "write" },
        planStep(2),
        { type: "text", text: closingText },
        planStep(3),
      ];
  }
}

/** The demo file after one more prompt. `before` is null for a new file. */
export function demoFile(before: string | null, prompt: string, count: number): string {
  const head = before ?? `${demoMarker}\n\n# Perch demo\n\nWhat was asked here:\n\n`;
  return `${head.endsWith("\n") ? head : `${head}\n`}${count}. ${quote(prompt)}\n`;
}

/** Splits text into pieces of about one model token each; joined they are the text. */
export function demoTokens(text: string): string[] {
  return text.match(/\s*\S{1,8}|\s+/gu) ?? [];
}

const planTexts = ["Look at the folder", "Change the demo file", "Say what was done"];

function planStep(done: number): DemoStep {
  return {
    type: "plan",
    entries: planTexts.map((content, place) => ({
      content,
      priority: place === 1 ? "high" : "medium",
      status: place < done ? "completed" : place === done ? "in_progress" : "pending",
    })),
  };
}

function planSteps(): DemoStep[] {
  return planTexts.flatMap((content, place): DemoStep[] => [
    planStep(place),
    { type: "text", text: `${place + 1}. ${content}: done, in this show without touching anything.\n` },
  ]).concat([planStep(planTexts.length)]);
}

function quote(prompt: string): string {
  const line = prompt.trim().replaceAll(/\s+/g, " ");
  return line.length > 120 ? `${line.slice(0, 119)}…` : line;
}

const firstThought =
  "The person wants to see how a session looks. I should show a bit of everything: a thought, a plan, a tool call, a change to a file that asks for permission, and some formatted text.";
const secondThought =
  "Which file may I touch? Only one that I made myself, so that nothing of theirs is at risk. I will check its first line before I write.";

const closingText = `Done. Some formatted text to finish with:

- **bold**, *italic* and \`inline code\`
- a [link](https://agentclientprotocol.com/) to the protocol that we speak

\`\`\`ts
/** The sum of some numbers. */
export function sum(numbers: number[]): number {
  return numbers.reduce((total, next) => total + next, 0);
}
\`\`\`

Try \`/long\`, \`/plan\`, \`/fail\` or \`/help\` next.`;

const helpText =
  `I am a **demo**: a script that speaks the same protocol as real agents, without a key and without a network.

| say | and see |
|---|---|
| anything | a thought, a plan, tool calls, a permission request, a changed file |
| \`long\` | a long answer that streams, and time to try Stop |
| \`plan\` | a plan that moves step by step |
| \`fail\` | a failing tool call and a failing turn |
`;

/** What the keyword "long" streams. */
export const longText = [
  "# A long answer",
  ...Array.from({ length: 12 }, (_, place) =>
    `## Part ${place + 1}

A perch sits still and watches; that is most of its work. Part ${
      place + 1
    } of this answer exists so that the page grows while you read: scroll up and it must not jump, scroll down and it must follow. Reload in the middle and nothing may be lost or repeated.

\`\`\`sh
echo "part ${place + 1} of 12"
\`\`\``),
  "That was all of it.",
].join("\n\n");
