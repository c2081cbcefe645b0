import assert from "node:assert/strict";
import { ConfigError, localUrl, readEnvironment } from "./config.ts";

Deno.test("defaults: loopback, port 7700, one isolate, embedded database below the data directory", () => {
  const config = readEnvironment({ PERCH_DATA_DIR: "/data" });
  assert.deepEqual(config, {
    dataDir: "/data",
    host: "127.0.0.1",
    port: 7700,
    publicUrl: undefined,
    isolateUrl: undefined,
    hostNames: [],
    isSignupOpen: false,
    kvLocation: "/data/hub/kv.sqlite3",
    isolates: 1,
    logLevel: "info",
    drainMs: 5_000,
    metricsToken: undefined,
    isProxyTrusted: false,
    tunnels: { domain: null, scheme: "http", port: null },
    retention: { sessionBytes: 64 * 2 ** 20, userBytes: 2 ** 30, idleMs: 30 * 86_400_000, forgetMs: 365 * 86_400_000 },
  });
  assert.deepEqual(
    readEnvironment({
      PERCH_RETENTION_SESSION_MB: "0.5",
      PERCH_RETENTION_USER_MB: "0",
      PERCH_RETENTION_DAYS: "7",
      PERCH_RETENTION_FORGET_DAYS: "0",
    }).retention,
    { sessionBytes: 2 ** 19, userBytes: Infinity, idleMs: 7 * 86_400_000, forgetMs: Infinity },
  );
});

Deno.test("an unusable variable is named with its value and what was expected", () => {
  const cases = {
    PERCH_PORT: ["http", "number"],
    PERCH_ISOLATES: ["0", "at least 1"],
    PERCH_RETENTION_DAYS: ["soon", "number"],
    PERCH_RETENTION_USER_MB: ["-1", "0 means no bound"],
    PERCH_OPEN_SIGNUP: ["yes", '"1" or "0"'],
    PERCH_PUBLIC_URL: ["perch.example", "http"],
    PERCH_ISOLATE_URL: ["10.0.0.5:7700", "http"],
    PERCH_LOG_LEVEL: ["verbose", '"warning"'],
    PERCH_DRAIN_MS: ["soon", "milliseconds"],
    PERCH_TRUST_PROXY: ["true", '"1" or "0"'],
  } as const;
  for (const [name, [value, expected]] of Object.entries(cases)) {
    assert.throws(() => readEnvironment({ [name]: value }), (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      assert.ok(error.message.startsWith(`${name} is "${value}": `) && error.message.includes(expected), error.message);
      return true;
    });
  }
});

Deno.test("an instance names one address of its own, by itself when asked to", () => {
  const interfaces = () => [
    { family: "IPv6" as const, address: "fe80::1" },
    { family: "IPv6" as const, address: "fd00::5" },
    { family: "IPv4" as const, address: "127.0.0.1" },
    { family: "IPv4" as const, address: "10.0.0.5" },
  ];
  const urlOf = (env: Record<string, string>) => readEnvironment(env, false, interfaces).isolateUrl;
  assert.equal(urlOf({}), undefined);
  assert.equal(urlOf({ PERCH_ISOLATE_URL: "http://10.9.9.9:1" }), "http://10.9.9.9:1");
  const auto = { PERCH_ISOLATE_URL: "auto" };
  assert.equal(urlOf({ ...auto, PERCH_HOST: "0.0.0.0" }), "http://10.0.0.5:7700");
  assert.equal(urlOf({ ...auto, PERCH_HOST: "::" }), "http://10.0.0.5:7700");
  assert.equal(urlOf({ ...auto, PERCH_HOST: "fd00::5", PERCH_PORT: "7" }), "http://[fd00::5]:7");
  assert.throws(() => urlOf(auto), /PERCH_ISOLATE_URL is "auto" and PERCH_HOST is "127\.0\.0\.1"/);
  assert.throws(() => urlOf({ ...auto, PERCH_HOST: "0.0.0.0", PERCH_PORT: "0" }), /PERCH_PORT is 0/);
  assert.throws(() => urlOf({ PERCH_ISOLATE_URL: "http://10.0.0.5", PERCH_ISOLATES: "2" }), /PERCH_ISOLATES is 2/);
});

Deno.test("an empty variable counts as unset, a KV URL replaces the embedded database", () => {
  const config = readEnvironment({
    PERCH_PORT: "",
    PERCH_KV_URL: "http://127.0.0.1:4512",
    PERCH_HOST_NAMES: "a.example, b.example,",
  });
  assert.equal(config.port, 7700);
  assert.equal(config.kvLocation, "http://127.0.0.1:4512");
  assert.deepEqual(config.hostNames, ["a.example", "b.example"]);
});

Deno.test("a terminal stays quiet unless a level is asked for, and a short token is refused without being shown", () => {
  assert.equal(readEnvironment({}, true).logLevel, "warning");
  assert.equal(readEnvironment({ PERCH_LOG_LEVEL: "debug" }, true).logLevel, "debug");
  assert.throws(() => readEnvironment({ PERCH_METRICS_TOKEN: "hunter2" }), (error: unknown) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, /^PERCH_METRICS_TOKEN is set: must have at least 16 characters$/);
    return true;
  });
});

Deno.test("the local URL names a host that a browser can open", () => {
  assert.equal(localUrl({ host: "0.0.0.0", port: 1 }), "http://localhost:1");
  assert.equal(localUrl({ host: "192.168.1.5", port: 2 }), "http://192.168.1.5:2");
  assert.equal(localUrl({ host: "fe80::1", port: 3 }), "http://[fe80::1]:3");
});
