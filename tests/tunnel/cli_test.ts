/** `perch expose`, by a person and by an agent. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { root } from "../support/hub.ts";
import { updateConfig } from "@/runner/config.ts";
import { dataDir } from "@/runner/data_dir.ts";
import { eventually } from "../support/patience.ts";
import { localServer, startRig, TunnelClient } from "./support.ts";

Deno.test("tunnel - perch expose: open, list, close, and what it says when it cannot", async () => {
  await using rig = await startRig();
  await using local = localServer(() => new Response("from the command line"));
  const perch = async (...args: string[]) => {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--quiet",
        "--config",
        join(root, "deno.json"),
        join(root, "runner/main.ts"),
        "expose",
        ...args,
      ],
      env: { PERCH_DATA_DIR: rig.runner.dir, PERCH_HUB_URL: rig.hub.url, PERCH_API_KEY: rig.hub.apiKey },
      stdin: "null",
    }).output();
    const decoder = new TextDecoder();
    return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
  };
  const opened = await perch(`${local.port}`, "--name", "site");
  assert.deepEqual([opened.code, opened.err], [0, ""]);
  const tunnelId = /\/tunnel\/([a-z2-7]{26})$/m.exec(opened.out)?.[1] ?? "";
  const client = new TunnelClient(rig.hub, tunnelId);
  await client.enter();
  assert.equal((await client.ask("GET", "/")).text, "from the command line");
  assert.match((await perch("--list")).out, new RegExp(`^${local.port} +site  on ${rig.runner.name}`));
  assert.equal(JSON.parse((await perch("--list", "--json")).out)[0].tunnelId, tunnelId);
  const bounded = await perch(`${local.port}`, "--max-connections", "20", "--max-rate", "2MB");
  assert.match(bounded.out, /at most 20 requests at once, 2 MB\/s/);
  const bounds = async () => JSON.parse((await perch("--list", "--json")).out)[0].bounds;
  assert.deepEqual(await bounds(), { connections: 20, bytesPerS: 2_000_000 });
  assert.match((await perch("--list")).out, /\(at most 20 requests at once, 2 MB\/s\)/);
  // What is not named stays.
  assert.equal((await perch(`${local.port}`, "--max-rate", "none")).code, 0);
  assert.deepEqual(await bounds(), { connections: 20, bytesPerS: null });
  assert.match((await perch("--help")).out, /--max-rate RATE[^\n]*bytes a second[^]*--close/);
  assert.equal((await perch(`${local.port}`, "--close")).code, 0);
  assert.equal((await client.ask("GET", "/")).status, 404);
  const cases: [string[], number, RegExp][] = [
    [[], 2, /needs <port>/],
    [["70000"], 2, /"70000" is no port/],
    [["80", "--max-connections", "0"], 2, /--max-connections "0" is not a number from 1 to 512/],
    [["80", "--max-rate", "fast"], 2, /--max-rate "fast" is no rate from 1 kB\/s to 10 GB\/s/],
    [["80", "--max-rate", "10"], 2, /--max-rate "10" is no rate from/],
    [[`${local.port}`, "--close"], 1, /is not exposed/],
    [["80", "--host", "10.0.0.1"], 1, /this machine only; .*--tunnel-host 10\.0\.0\.1/],
    [["80", "--session", "nothing"], 1, /no session "nothing"/],
  ];
  for (const [args, code, words] of cases) {
    const failed = await perch(...args);
    assert.equal(failed.code, code, failed.err);
    assert.match(failed.err, words);
  }
});

Deno.test("tunnel - what an agent exposes belongs to its session", async () => {
  await using rig = await startRig();
  await using local = localServer(() => new Response("from the agent"));
  const { hub, runner } = rig;
  // As perch login leaves it; the runner's own key is kept from agents.
  const { apiKey } = hub;
  updateConfig(dataDir(runner.dir, {}).config, (config) => ({
    ...config,
    hubUrl: hub.url,
    hubs: { [hub.url]: { apiKey } },
  }));
  const sessionId = await runner.startSession({
    agentId: "terminal",
    command: ["sh", "-c", `sh -c "$PERCH_EXPOSE ${local.port} --name agents --max-rate 3MB"; read line`],
  });
  const tunnel = await eventually(async () => {
    const { tunnels } = await hub.api("GET", `/api/tunnels?sessionId=${sessionId}`);
    return tunnels[0];
  }, "the agent's tunnel");
  assert.deepEqual([tunnel.name, tunnel.port, tunnel.bounds.bytesPerS], ["agents", local.port, 3_000_000]);
  const client = new TunnelClient(hub, tunnel.tunnelId);
  await client.enter();
  await client.ready();
  assert.equal((await client.ask("GET", "/")).text, "from the agent");
});
