/** `perch` as a person meets it: as a process. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { PERCH_VERSION } from "@/protocol/mod.ts";
import { selfCommand, selfOptions } from "../self_command.ts";
import { commands, readCommandLine, UsageError } from "./arguments.ts";

async function perch(args: string[], env: Record<string, string> = {}) {
  const self = selfCommand(args, selfOptions());
  const output = await new Deno.Command(self.program, {
    args: self.args,
    env: { PERCH_HUB_URL: "", PERCH_API_KEY: "", PERCH_ENROLLMENT: "", NO_COLOR: "1", ...env },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code: output.code, out: decoder.decode(output.stdout), err: decoder.decode(output.stderr) };
}

function tempDir(): { path: string } & Disposable {
  const path = Deno.makeTempDirSync({ prefix: "perch-cli-" });
  return { path, [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }) };
}

Deno.test("what cannot be understood is one sentence", () => {
  const cases: [string[], string][] = [
    [["fly"], 'unknown command "fly"; commands are runner, login, logout, status, expose, agents'],
    [["--fly"], 'unknown option "--fly"; see perch --help'],
    [["runner", "--fly"], 'unknown option "--fly"; see perch runner --help'],
    [["runner", "--hub"], 'option "--hub" needs a value; see perch runner --help'],
    [["runner", "--hub="], `option "--hub" needs a value that is not empty; usage: ${commands.runner.usage}`],
    [["runner", "here"], `unexpected argument "here"; usage: ${commands.runner.usage}`],
    [["login"], `perch login needs <hub-url>; usage: ${commands.login.usage}`],
  ];
  for (const [args, message] of cases) {
    assert.throws(() => readCommandLine(args, "1"), (error) => {
      assert.ok(error instanceof UsageError);
      assert.equal(error.message, message);
      return true;
    });
  }
});

Deno.test("every command a person may give has a help that names its options", () => {
  for (const [name, command] of Object.entries(commands)) {
    if ("isInternal" in command) continue;
    const line = readCommandLine([name, "--help"], "1");
    assert.equal(line.do, "print");
    if (line.do !== "print") return;
    assert.ok(line.text.includes(command.usage));
    for (const option of Object.keys(command.options)) {
      assert.ok(line.text.includes(`--${option}`), `${name} ${option}`);
    }
  }
  const line = readCommandLine(["runner", "--root", "/a", "--root=/b"], "1");
  assert.deepEqual(line.do === "run" && line.values.root, ["/a", "/b"]);
});

Deno.test("help and version go to stdout with 0, mistakes to stderr with 2", async () => {
  const [help, version, unknown] = await Promise.all([
    perch(["--help"]),
    perch(["--version"]),
    perch(["runner", "--colour"]),
  ]);
  assert.equal(help.code, 0);
  assert.match(help.out, /perch <command>[^]*runner[^]*login/);
  assert.doesNotMatch(help.out, /__host/);
  assert.deepEqual([version.code, version.out], [0, `perch ${PERCH_VERSION}\n`]);
  assert.deepEqual([unknown.code, unknown.err], [2, 'perch: unknown option "--colour"; see perch runner --help\n']);
});

Deno.test("a configuration that cannot be used, and a missing login, say what to do", async () => {
  using dir = tempDir();
  const args = ["--data-dir", dir.path];
  const none = await perch(["runner", ...args]);
  assert.deepEqual([none.code, none.err], [78, "perch: no hub is named; run perch login <hub-url>, or give --hub\n"]);
  const noKey = await perch(["runner", "--hub", "http://127.0.0.1:1", ...args]);
  assert.match(noKey.err, /this machine has no key for http:\/\/127\.0\.0\.1:1; run perch login/);
  const noRoot = await perch(["runner", "--root", "/not/there", ...args]);
  assert.match(noRoot.err, /root "\/not\/there" does not exist/);
  Deno.writeTextFileSync(join(dir.path, "config.json"), '{"roots": 1}');
  const bad = await perch(["status", ...args]);
  assert.equal(bad.code, 78);
  assert.match(bad.err, /config\.json: key "roots": /);
});

Deno.test("login stores the key for its owner alone, status and logout know of it", async () => {
  using dir = tempDir();
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/api/device") {
      const expiresAt = Date.now() + 60_000;
      return Response.json(
        { deviceCode: "d", userCode: "WXYZ-9876", verificationPath: "/device", expiresAt, intervalMs: 1 },
        { status: 201 },
      );
    }
    if (pathname === "/api/device/token") return Response.json({ apiKey: "secret-key", userName: "Ada" });
    return Response.json({ status: "ok", version: "9.9.9" });
  });
  const url = `http://127.0.0.1:${server.addr.port}`;
  const args = ["--data-dir", dir.path];
  const login = await perch(["login", url, "--no-open", ...args]);
  assert.equal(login.code, 0, login.err);
  assert.match(login.out, new RegExp(`${url}/device[^]*WXYZ-9876[^]*Logged in to ${url} as Ada`));
  assert.doesNotMatch(login.out, /secret-key/);
  const file = join(dir.path, "config.json");
  assert.equal((Deno.statSync(file).mode ?? 0) & 0o777, 0o600);
  assert.match(Deno.readTextFileSync(file), /secret-key/);

  const status = await perch(["status", "--json", ...args]);
  assert.equal(status.code, 1, "the runner does not run");
  const report = JSON.parse(status.out);
  assert.deepEqual(report.hub, {
    url,
    isReachable: true,
    version: "9.9.9",
    error: null,
    isLoggedIn: true,
    userName: "Ada",
  });
  assert.equal(report.runner.isRunning, false);
  assert.deepEqual(report.sessions, []);
  assert.match((await perch(["status", ...args])).out, /reachable \(version 9\.9\.9\), logged in as Ada/);

  assert.match((await perch(["logout", ...args])).out, /is removed from this machine/);
  assert.doesNotMatch(Deno.readTextFileSync(file), /secret-key/);
});

Deno.test("agents lists the demo, labelled as one, and says what is missing elsewhere", async () => {
  const agents = await perch(["agents", "--json"]);
  assert.equal(agents.code, 0, agents.err);
  const list = JSON.parse(agents.out) as { id: string; available: boolean; isDemo?: boolean; missing?: string }[];
  assert.deepEqual(list.find((agent) => agent.id === "demo")?.isDemo, true);
  assert.ok(list.every((agent) => agent.available || agent.missing));
  assert.match((await perch(["agents"])).out, /demo +.*demonstration/);
});
