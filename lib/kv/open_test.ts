import assert from "node:assert/strict";
import { openKv } from "./open.ts";

Deno.test("opening makes the folder, and says what to do when it cannot", async () => {
  const dir = await Deno.makeTempDir();
  (await openKv(`${dir}/deep/hub.db`)).close();
  await Deno.writeTextFile(`${dir}/file`, "");
  await assert.rejects(
    openKv(`${dir}/file/hub.db`),
    /cannot open the database ".*hub\.db": .*choose another data directory/,
  );
  await Deno.remove(dir, { recursive: true });
});
