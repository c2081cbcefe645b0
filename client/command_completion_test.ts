import assert from "node:assert/strict";
import { completedDraft, offeredCommands } from "./command_completion.ts";

const commands = [{ name: "compact" }, { name: "/review" }, { name: "pr-comments" }];

Deno.test("offers while the first word is typed, and no longer", () => {
  const names = (draft: string) => offeredCommands(draft, commands).map((command) => command.name);
  assert.deepEqual(names("/"), ["compact", "/review", "pr-comments"]);
  assert.deepEqual(names("/RE"), ["/review"]);
  assert.deepEqual(names("/com"), ["compact", "pr-comments"]);
  assert.deepEqual(names("/compact now"), []);
  assert.deepEqual(names("look at /compact"), []);
  assert.equal(completedDraft(commands[1]!), "/review ");
});
