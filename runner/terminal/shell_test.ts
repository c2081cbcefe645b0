import assert from "node:assert/strict";
import { defaultShell, terminalEnv } from "./shell.ts";

Deno.test("the user's shell, or a plain one", () => {
  assert.deepEqual(defaultShell({ SHELL: "/bin/zsh" }, "linux"), ["/bin/zsh"]);
  assert.deepEqual(defaultShell({}, "linux"), ["/bin/sh"]);
  assert.deepEqual(defaultShell({ COMSPEC: "C:\\cmd.exe" }, "windows"), ["C:\\cmd.exe"]);
});

Deno.test("programs find a colour terminal in UTF-8, and neither keys nor another terminal's variables", () => {
  const env = terminalEnv({
    PATH: "/bin",
    TERM: "dumb",
    TMUX: "x",
    LC_ALL: "C",
    PERCH_API_KEY: "k",
    PERCH_ENROLLMENT: "e",
  }, "linux");
  assert.deepEqual(env, {
    PATH: "/bin",
    TERM: "xterm-256color",
    COLORTERM: "truecolor",
    TERM_PROGRAM: "perch",
    LANG: "C.UTF-8",
    LC_CTYPE: "C.UTF-8",
  });
  const kept = terminalEnv({ LANG: "de_DE.UTF-8", LC_MESSAGES: "C" }, "linux");
  assert.equal(kept.LANG, "de_DE.UTF-8");
  assert.equal(kept.LC_MESSAGES, "C");
});
