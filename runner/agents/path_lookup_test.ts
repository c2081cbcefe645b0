import assert from "node:assert/strict";
import { findOnPath, isExecutableFile } from "./path_lookup.ts";

const files = (...names: string[]) => (path: string) => names.includes(path);

Deno.test("the first folder that has the program wins; relative and empty folders are left out", () => {
  const isExecutable = files("/b/pi", "/c/pi", "bin/pi", "pi");
  assert.equal(findOnPath("pi", { path: ":bin:/a:/b:/c", isWindows: false, isExecutable }), "/b/pi");
  assert.equal(findOnPath("pi", { path: ":bin", isWindows: false, isExecutable }), null);
  assert.equal(findOnPath("", { path: "/a", isWindows: false, isExecutable }), null);
});

Deno.test("a name with a slash is a path", () => {
  const isExecutable = files("/opt/pi", "./pi");
  assert.equal(findOnPath("/opt/pi", { path: "/b", isWindows: false, isExecutable }), "/opt/pi");
  assert.equal(findOnPath("./pi", { path: "/b", isWindows: false, isExecutable }), "./pi");
  assert.equal(findOnPath("/opt/no", { path: "/opt", isWindows: false, isExecutable }), null);
});

Deno.test("only files that may be run count", async () => {
  const folder = await Deno.makeTempDir();
  await Deno.writeTextFile(`${folder}/plain`, "", { mode: 0o644 });
  await Deno.writeTextFile(`${folder}/runs`, "", { mode: 0o755 });
  assert.deepEqual(["plain", "runs", "none", "."].map((name) => isExecutableFile(`${folder}/${name}`)), [
    false,
    true,
    false,
    false,
  ]);
  await Deno.remove(folder, { recursive: true });
});
