import assert from "node:assert/strict";
import { join } from "node:path";
import { readTextFile, writeTextFile } from "./acp_files.ts";

async function withFolders(work: (cwd: string, outside: string) => Promise<void>): Promise<void> {
  const cwd = await Deno.realPath(await Deno.makeTempDir());
  const outside = await Deno.realPath(await Deno.makeTempDir());
  try {
    await work(cwd, outside);
  } finally {
    await Deno.remove(cwd, { recursive: true });
    await Deno.remove(outside, { recursive: true });
  }
}

Deno.test("files inside the folder are read, in part or whole, and written", async () => {
  await withFolders(async (cwd) => {
    const path = join(cwd, "a.txt");
    await writeTextFile(cwd, { path, content: "1\n2\n3\n4\n" });
    assert.deepEqual(await readTextFile(cwd, { path }), { content: "1\n2\n3\n4\n" });
    assert.deepEqual(await readTextFile(cwd, { path, line: 2, limit: 2 }), { content: "2\n3" });
    await assert.rejects(readTextFile(cwd, { path: join(cwd, "none") }), /not found/i);
    await assert.rejects(readTextFile(cwd, { path: cwd }), /outside|not a file/);
    await assert.rejects(writeTextFile(cwd, { path, content: 7 }), /content must be a string/);
    await assert.rejects(readTextFile(cwd, { path: "a.txt" }), /must be absolute/);
  });
});

Deno.test("nothing outside of it: not by dots, not by links, not by dangling links, not beside it", async () => {
  await withFolders(async (cwd, outside) => {
    await Deno.writeTextFile(join(outside, "secret"), "s");
    await Deno.symlink(outside, join(cwd, "link"));
    await Deno.symlink(join(outside, "new"), join(cwd, "dangling"));
    for (
      const path of [join(outside, "secret"), `${cwd}/../${outside.split("/").at(-1)}/secret`, join(cwd, "link/secret")]
    ) {
      await assert.rejects(readTextFile(cwd, { path }), /outside the session's folder/, path);
      await assert.rejects(writeTextFile(cwd, { path, content: "x" }), /outside the session's folder/, path);
    }
    await assert.rejects(writeTextFile(cwd, { path: join(cwd, "link/other"), content: "x" }), /outside/);
    await assert.rejects(writeTextFile(cwd, { path: join(cwd, "dangling"), content: "x" }), /not found/i);
    await assert.rejects(writeTextFile(cwd, { path: `${cwd}-beside`, content: "x" }), /outside/);
    assert.equal(await Deno.readTextFile(join(outside, "secret")), "s");
    assert.deepEqual([...Deno.readDirSync(outside)].map((file) => file.name), ["secret"]);
  });
});
