import assert from "node:assert/strict";
import { join } from "node:path";
import { isInside, LISTED_ENTRIES, listFiles, PathError, resolveDirectory } from "./files.ts";

/** `root/` with some content, `outside/` beside it. */
function tree(): { root: string; outside: string } & Disposable {
  const base = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "perch-files-" }));
  const root = join(base, "root");
  const outside = join(base, "outside");
  for (const path of ["root/Alpha/.git", "root/alto", "root/.hidden", "root/beta", "outside/secret"]) {
    Deno.mkdirSync(join(base, path), { recursive: true });
  }
  Deno.writeTextFileSync(join(root, "a-file"), "x");
  Deno.symlinkSync(outside, join(root, "escape"));
  Deno.symlinkSync(join(root, "beta"), join(root, "link-beta"));
  Deno.symlinkSync(join(root, "nowhere"), join(root, "broken"));
  Deno.symlinkSync(join(root, "loop"), join(root, "loop"));
  return { root, outside, [Symbol.dispose]: () => Deno.removeSync(base, { recursive: true }) };
}

Deno.test("a path is inside its roots or it is not", () => {
  assert.ok(isInside("/a/b", ["/a/b"]));
  assert.ok(isInside("/a/b/c", ["/x", "/a/b"]));
  assert.ok(!isInside("/a/bc", ["/a/b"]));
  assert.ok(!isInside("/a", ["/a/b"]));
  assert.ok(isInside("/anything", ["/"]));
});

Deno.test("a working directory must be a real directory inside the roots, symlinks resolved", async () => {
  using t = tree();
  const roots = [t.root];
  assert.equal(await resolveDirectory(join(t.root, "link-beta"), roots), join(t.root, "beta"));
  assert.equal(await resolveDirectory(`${t.root}/alto/../beta/`, roots), join(t.root, "beta"));
  const cases: [string, RegExp][] = [
    [join(t.root, "escape"), /outside this runner's roots .*add it with --root/],
    [join(t.root, "escape", "secret"), /outside/],
    [join(t.root, ".."), /outside/],
    [`${t.root}/../outside/not-there`, /outside/],
    [join(t.outside, "secret"), /outside/],
    [join(t.root, "nope"), /does not exist/],
    [join(t.root, "broken"), /does not exist/],
    [join(t.root, "loop"), /cannot be read/],
    [join(t.root, "a-file"), /is not a directory/],
    ["relative", /is not absolute/],
    [`${t.root}/x\0y`, /NUL/],
  ];
  for (const [path, message] of cases) {
    await assert.rejects(resolveDirectory(path, roots), (error) => {
      assert.ok(error instanceof PathError);
      assert.match(error.message, message);
      return true;
    });
  }
});

Deno.test("a folder is listed directories first, hidden ones only when asked for, completed by prefix", async () => {
  using t = tree();
  const list = async (more: { prefix?: string; directoriesOnly?: boolean; path?: string }) => {
    const result = await listFiles({ requestId: "r", path: t.root, ...more }, [t.root]);
    assert.ok(result.ok, result.error);
    return result.entries?.map((entry) => `${entry.kind} ${entry.name}${entry.isGitRepo ? " git" : ""}`);
  };
  assert.deepEqual(await list({}), [
    "directory Alpha git",
    "directory alto",
    "directory beta",
    "directory link-beta",
    "file a-file",
    "symlink broken",
    "symlink escape",
    "symlink loop",
  ]);
  assert.deepEqual(await list({ directoriesOnly: true, prefix: "AL" }), ["directory Alpha git", "directory alto"]);
  assert.deepEqual(await list({ directoriesOnly: true, prefix: "e" }), [], "a link out of the roots is no directory");
  assert.deepEqual(await list({ prefix: "." }), ["directory .hidden"]);
  assert.deepEqual(await list({ path: "" }), [`directory ${t.root}`]);
});

Deno.test("a listing is bounded and says so; a bad path answers with the reason", async () => {
  using t = tree();
  for (let i = 0; i < LISTED_ENTRIES + 5; i++) Deno.writeTextFileSync(join(t.root, "beta", `f${i}`), "");
  const result = await listFiles({ requestId: "r", path: join(t.root, "beta") }, [t.root]);
  assert.equal(result.entries?.length, LISTED_ENTRIES);
  assert.equal(result.isTruncated, true);
  const refused = await listFiles({ requestId: "r", path: t.outside }, [t.root]);
  assert.equal(refused.ok, false);
  assert.match(refused.error ?? "", new RegExp(`path "${t.outside}" is outside this runner's roots \\(${t.root}\\)`));
});
