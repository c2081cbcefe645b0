import assert from "node:assert/strict";
import { join } from "node:path";
import { isBuildCurrent, lockBuild, writeBuildStamp } from "./build_stamp.ts";

Deno.test("a build is that of the sources until one of them changes", async () => {
  const root = await Deno.makeTempDir();
  await Deno.mkdir(join(root, "islands"));
  await Deno.writeTextFile(join(root, "islands/Pond.tsx"), "1");
  assert.equal(await isBuildCurrent(root), false);
  await Deno.mkdir(join(root, "_fresh"));
  await writeBuildStamp(root);
  assert.equal(await isBuildCurrent(root), true);
  await Deno.writeTextFile(join(root, "islands/Pond.tsx"), "2");
  assert.equal(await isBuildCurrent(root), false);
  await Deno.remove(root, { recursive: true });
});

Deno.test("who comes second builds when the first is done", async () => {
  const root = await Deno.makeTempDir();
  const order: string[] = [];
  const first = await lockBuild(root);
  const second = lockBuild(root).then((lock) => {
    order.push("second");
    lock[Symbol.dispose]();
  });
  // Whether it waits shows only after it had time to take the lock.
  await Deno.stat(join(root, ".cache/build.lock"));
  order.push("first");
  first[Symbol.dispose]();
  await second;
  assert.deepEqual(order, ["first", "second"]);
  await Deno.remove(root, { recursive: true });
});
