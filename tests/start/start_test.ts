/** The one command of the README: options and their errors, health, the local runner, stopping and starting again. */
import assert from "node:assert/strict";
import { logTail } from "@/tests/support/child.ts";
import { within } from "@/tests/support/patience.ts";
import { openSocket } from "@/tests/support/socket.ts";
import { runStart, setupLink, startPerch } from "./perch_process.ts";

Deno.test("--help and --version print and exit with 0", async () => {
  const help = await runStart(["--help"]);
  assert.equal(help.code, 0);
  for (const option of ["--host", "--port", "--data-dir", "--no-runner"]) {
    assert.ok(help.stdout.includes(option), option);
  }
  const version = await runStart(["--version"]);
  assert.equal(version.code, 0);
  assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/);
});

Deno.test("what cannot be used is said in one sentence, with a non-zero exit", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const dataDir = await Deno.makeTempDir();
  const { port } = listener.addr;
  const cases: [args: string[], env: Record<string, string>, code: number, message: RegExp][] = [
    [["--colour"], {}, 2, /Unknown option '--colour'.*--help/],
    [["now"], {}, 2, /Unexpected argument 'now'/],
    [["--port", "http"], {}, 2, /--port is "http": must be a number/],
    [["--port", ""], {}, 2, /--port needs a value/],
    [["--port", "65536"], {}, 2, /--port is "65536"/],
    [[], { PERCH_ISOLATES: "none" }, 2, /PERCH_ISOLATES is "none": must be a number/],
    [
      ["--port", String(port), "--data-dir", dataDir],
      {},
      1,
      new RegExp(`port ${port} on 127.0.0.1 is in use; choose another with --port`),
    ],
    [["--data-dir", "/dev/null/perch"], {}, 1, /data directory "\/dev\/null\/perch" cannot be written to .*--data-dir/],
    [
      ["--host", "no.such.host.invalid", "--port", "0", "--data-dir", dataDir],
      {},
      2,
      /cannot listen on "no.such.host.invalid"/,
    ],
  ];
  for (const [args, env, code, message] of cases) {
    const result = await runStart(args, env);
    assert.match(result.stderr, message);
    assert.equal(result.stderr.trim().split("\n").length, 1, result.stderr);
    assert.equal(result.code, code, result.stderr);
  }
  await Deno.remove(dataDir, { recursive: true });
});

Deno.test("starts a hub and a runner, makes the first account once, stops cleanly, and remembers", async () => {
  const home = await Deno.makeTempDir({ prefix: "perch-start-" });
  let cookie = "";
  {
    const { child, url } = await startPerch(home);
    await using _child = child;
    const health = await (await fetch(`${url}/healthz`)).json();
    assert.deepEqual(Object.keys(health).sort(), ["isolate", "kv", "status", "uptimeMs", "version"]);
    assert.equal(health.status, "ok");

    const token = new URL(await setupLink(child)).hash.slice(1);
    const setUp = async (token: string) => {
      const response = await fetch(`${url}/api/setup`, {
        method: "POST",
        headers: { "content-type": "application/json", origin: url },
        body: JSON.stringify({ token, name: "Ada", email: "ada@example.com", password: "Perch1234" }),
      });
      await response.body?.cancel();
      return response;
    };
    assert.ok((await setUp("wrong")).status >= 400);
    const made = await setUp(token);
    assert.equal(made.status, 201);
    cookie = made.headers.getSetCookie()[0]!.split(";")[0]!;
    assert.ok((await setUp(token)).status >= 400);

    const runner = await connectedRunner(url, cookie);
    assert.equal(runner.name, Deno.hostname());
    assert.equal((await child.stop("SIGINT")).code, 0);
    assert.doesNotMatch(logTail(child.logPath), /error/i);
  }
  const { child, url } = await startPerch(home);
  await using _child = child;
  await connectedRunner(url, cookie);
  assert.ok(!child.lines.some((line) => line.includes("Make the first account")));
  assert.equal((await child.stop("SIGTERM")).code, 0);
  await Deno.remove(home, { recursive: true });
});

Deno.test("--no-runner starts the hub alone", async () => {
  const home = await Deno.makeTempDir({ prefix: "perch-start-" });
  const { child } = await startPerch(home, { args: ["--no-runner"] });
  await using _child = child;
  await setupLink(child);
  assert.equal((await child.stop("SIGINT")).code, 0);
  assert.equal(await Deno.stat(`${home}/.perch/config.json`).then(() => true, () => false), false);
  await Deno.remove(home, { recursive: true });
});

interface Runner {
  name: string;
  isConnected: boolean;
}

/** Waits on the runners feed until a runner is connected. */
async function connectedRunner(url: string, cookie: string): Promise<Runner> {
  const socket = openSocket(`${url.replace("http", "ws")}/ws/runners?protocolVersion=1`, { cookie, origin: url });
  const found = Promise.withResolvers<Runner>();
  socket.onerror = () => found.reject(new Error("the runners feed could not be opened"));
  socket.onmessage = ({ data }) => {
    for (const message of [JSON.parse(data)].flat()) {
      for (const runner of message.runners ?? [message.runner]) if (runner?.isConnected) found.resolve(runner);
    }
  };
  try {
    return await within(found.promise, "the runner's connection");
  } finally {
    socket.close();
  }
}
