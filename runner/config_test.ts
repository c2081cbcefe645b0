import assert from "node:assert/strict";
import { join } from "node:path";
import { ConfigError, hubKey, hubSettings, readConfig, resolveRoots, updateConfig } from "./config.ts";

function tempDir(): { path: string; file: string } & Disposable {
  const path = Deno.makeTempDirSync({ prefix: "perch-config-" });
  return {
    path,
    file: join(path, "deep", "config.json"),
    [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }),
  };
}

Deno.test("what is wrong in the file is named, with the file", () => {
  using dir = tempDir();
  Deno.mkdirSync(join(dir.path, "deep"));
  const cases: [string, RegExp][] = [
    ["{", /is not JSON/],
    ['{"roots": "x"}', /key "roots": /],
    ['{"roots": ["/a", 3]}', /key "roots\.1": /],
    ['{"name": ""}', /key "name": /],
    ['{"hubs": {"http://h": {"apikey": "x"}}}', /key "hubs\.http:\/\/h\.apiKey"|there is no key/],
    ['{"rots": ["/a"]}', /there is no key "rots"; known are hubUrl, hubs, name, roots, tunnelHosts, runnerId/],
  ];
  for (const [text, message] of cases) {
    Deno.writeTextFileSync(dir.file, text);
    assert.throws(() => readConfig(dir.file), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, message);
      assert.ok(error.message.startsWith(dir.file));
      return true;
    });
  }
});

Deno.test("the file is made with its directory, readable by its owner alone", () => {
  using dir = tempDir();
  assert.deepEqual(readConfig(dir.file), {});
  updateConfig(dir.file, (config) => ({ ...config, runnerId: "r1" }));
  updateConfig(dir.file, (config) => ({ ...config, name: "box" }));
  assert.deepEqual(readConfig(dir.file), { runnerId: "r1", name: "box" });
  assert.equal((Deno.statSync(dir.file).mode ?? 0) & 0o777, 0o600);
  assert.deepEqual([...Deno.readDirSync(join(dir.path, "deep"))].map((item) => item.name), ["config.json"]);
});

Deno.test("a key goes to the hub that gave it and to no other", () => {
  const config = { hubUrl: "https://one.example", hubs: { "https://one.example": { apiKey: "k1", userName: "Ada" } } };
  assert.deepEqual(hubSettings(config, {}), { hubUrl: "https://one.example", apiKey: "k1", userName: "Ada" });
  assert.equal(hubSettings(config, {}, "https://one.example/").apiKey, "k1");
  assert.equal(hubSettings(config, {}, "https://two.example").apiKey, null);
  assert.equal(hubSettings(config, { PERCH_HUB_URL: "https://two.example" }).apiKey, null);
  assert.equal(hubSettings(config, { PERCH_API_KEY: "env" }).apiKey, "env");
  assert.deepEqual(hubSettings({}, {}), { hubUrl: null, apiKey: null, userName: null });
});

Deno.test("hub addresses are understood with and without a scheme, and nonsense is named", () => {
  assert.equal(hubKey("localhost:7700"), "http://localhost:7700");
  assert.equal(hubKey("127.0.0.1:7700/"), "http://127.0.0.1:7700");
  assert.equal(hubKey("hub.example"), "https://hub.example");
  assert.equal(hubKey("https://hub.example/perch/?x=1#y"), "https://hub.example/perch");
  assert.throws(() => hubKey("ftp://x"), /"ftp:\/\/x" is not a hub address; it must begin with https/);
  assert.throws(() => hubKey("http://"), /"http:\/\/" is not a hub address/);
});

Deno.test("roots are real directories; others are named", () => {
  using dir = tempDir();
  const real = Deno.realPathSync(dir.path);
  Deno.symlinkSync(dir.path, join(dir.path, "link"));
  Deno.writeTextFileSync(join(dir.path, "file"), "");
  assert.deepEqual(resolveRoots({ roots: [dir.path] }), [real]);
  assert.deepEqual(resolveRoots({ roots: ["/nope"] }, [dir.path, join(dir.path, "link")]), [real]);
  assert.throws(() => resolveRoots({ roots: ["/nope-nope"] }), /root "\/nope-nope" does not exist/);
  assert.throws(() => resolveRoots({}, [join(dir.path, "file")]), /is not a directory/);
});
