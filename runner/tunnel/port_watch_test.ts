import assert from "node:assert/strict";
import { descendants, listeners, portsBelow } from "./port_watch.ts";

Deno.test("port watch - reads listeners, and nothing else, from the kernel's table", () => {
  const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1435 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0 0 10 0
   1: 0100007F:1435 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0 100 0 0 10 0
`;
  assert.deepEqual([...listeners(table)], [["4711", 5173]]);
});

Deno.test("port watch - finds what is below a process, and survives loops", () => {
  const parents = new Map([[1, 0], [10, 1], [11, 10], [12, 11], [20, 1], [30, 31], [31, 30]]);
  assert.deepEqual([...descendants(10, parents)].sort(), [11, 12]);
});

Deno.test({
  name: "port watch - sees the listener of a child's child",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const script =
      "const l = Deno.listen({port: 0, hostname: '127.0.0.1'}); console.log(l.addr.port); await l.accept();";
    const child = new Deno.Command("sh", {
      args: ["-c", `"$0" eval "$1" & wait`, Deno.execPath(), script],
      stdout: "piped",
    }).spawn();
    const reader = child.stdout.getReader();
    const port = Number(new TextDecoder().decode((await reader.read()).value));
    const found = await portsBelow(Deno.pid);
    assert.ok(found.some((one) => one.port === port), JSON.stringify(found));
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    await child.status;
    await reader.cancel();
  },
});
