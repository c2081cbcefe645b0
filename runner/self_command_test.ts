import assert from "node:assert/strict";
import { selfCommand, selfOptions } from "./self_command.ts";

Deno.test("from source, deno is told the entry point, permissions and config", () => {
  assert.deepEqual(
    selfCommand(["__daemon", "--data-dir", "/d"], {
      execPath: "/bin/deno",
      isStandalone: false,
      mainUrl: "file:///app/runner/main.ts",
      configPath: "/app/deno.json",
    }, ["--a=1", "--b"]),
    {
      program: "/bin/deno",
      args: [
        "run",
        "-A",
        "--quiet",
        "--no-prompt",
        "--v8-flags=--a=1,--b",
        "--config",
        "/app/deno.json",
        "file:///app/runner/main.ts",
        "__daemon",
        "--data-dir",
        "/d",
      ],
    },
  );
});

Deno.test("a compiled binary is the program and takes the arguments alone", () => {
  assert.deepEqual(
    selfCommand(["__host", "--session", "/s"], {
      execPath: "/opt/perch",
      isStandalone: true,
      mainUrl: "file:///tmp/compiled/runner/main.ts",
      configPath: "",
    }, ["--a=1"]),
    { program: "/opt/perch", args: ["__host", "--session", "/s"] },
  );
});

Deno.test("this process's own options name files that exist", () => {
  const self = selfOptions();
  assert.equal(self.isStandalone, false);
  assert.ok(Deno.statSync(self.execPath).isFile);
  assert.ok(Deno.statSync(self.configPath).isFile);
});
