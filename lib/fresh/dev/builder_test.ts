import assert from "node:assert/strict";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { get as httpGet, type IncomingMessage } from "node:http";
import { App, staticFiles } from "../mod.ts";
import { Builder } from "./builder.ts";

const FIXTURE = join(import.meta.dirname!, "../testdata/app");
const CONFIG = join(import.meta.dirname!, "../../../deno.json");
const START_TIMEOUT_MS = 30_000;
const ISLAND_PAGE_MAX_GZIP_BYTES = 15_000;

/** Starts a Deno program and gives the first match of `pattern` in what it prints. Killed when disposed. */
async function start(
  args: string[],
  pattern: RegExp,
  env: Record<string, string> = {},
): Promise<AsyncDisposable & { match: string }> {
  const child = new Deno.Command(Deno.execPath(), {
    args,
    env: { NO_COLOR: "1", ...env },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  // Deno.serve says where it listens on stderr, the fixture's dev.ts on stdout.
  let printed = "";
  const found = Promise.withResolvers<string>();
  const read = async (output: ReadableStream<Uint8Array<ArrayBuffer>>) => {
    for await (const text of output.pipeThrough(new TextDecoderStream())) {
      printed += text;
      const match = pattern.exec(printed);
      if (match !== null) found.resolve(match[1]!);
    }
  };
  const outputs = Promise.all([read(child.stdout), read(child.stderr)]);
  outputs.then(() => found.reject(new Error(`deno ${args.join(" ")} ended: ${printed}`)));
  const signal = AbortSignal.timeout(START_TIMEOUT_MS);
  signal.onabort = () => found.reject(new Error(`deno ${args.join(" ")} did not start: ${printed}`));
  const stop = async () => {
    signal.onabort = null;
    child.kill("SIGTERM");
    await child.status;
    await outputs;
  };
  try {
    return { match: await found.promise, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A copy of the fixture app inside this repository, so that deno.json and node_modules hold for it. */
async function copyFixture(): Promise<AsyncDisposable & { root: string }> {
  const root = await Deno.makeTempDir({ dir: join(FIXTURE, ".."), prefix: "tmp-app-" });
  const copy = async (from: string, to: string): Promise<void> => {
    await Deno.mkdir(to, { recursive: true });
    for await (const { name, isDirectory } of Deno.readDir(from)) {
      if (isDirectory) await copy(join(from, name), join(to, name));
      else await Deno.copyFile(join(from, name), join(to, name));
    }
  };
  await copy(FIXTURE, root);
  return { root, [Symbol.asyncDispose]: () => Deno.remove(root, { recursive: true }) };
}

/** The response as it is on the wire; `fetch` would decompress it. */
function raw(url: string, headers: Record<string, string>): Promise<{ message: IncomingMessage; body: Uint8Array }> {
  return new Promise((resolve, reject) => {
    httpGet(url, { headers, agent: false }, async (message) => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of message) chunks.push(chunk);
      resolve({ message, body: new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer()) });
    }).on("error", reject);
  });
}

async function build(): Promise<AsyncDisposable & { outDir: string }> {
  const outDir = await Deno.makeTempDir();
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", join(FIXTURE, "dev.ts"), "build", outDir],
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return { outDir, [Symbol.asyncDispose]: () => Deno.remove(outDir, { recursive: true }) };
}

Deno.test("Builder.build - the generated server serves pages, islands and static files", async (t) => {
  await using built = await build();
  await using server = await startEntry(built.outDir);
  const base = `http://127.0.0.1:${server.match}`;
  const text = async (path: string) => await (await fetch(base + path)).text();
  const island = await text("/counter");

  await t.step("a page without islands ships no script", async () => {
    const html = await text("/");
    assert.match(html, /<h1>hello, static page<\/h1>/);
    assert.doesNotMatch(html, /<script|modulepreload/);
  });

  await t.step("an island's page loads little, all of it immutable, with the nonce of the policy", async () => {
    const response = await fetch(`${base}/counter`);
    const html = await response.text();
    const nonce = /'nonce-([^']+)'/.exec(response.headers.get("content-security-policy")!)![1];
    for (const [tag] of html.matchAll(/<script[^>]*>|<link rel="modulepreload"[^>]*>/g)) {
      assert.ok(tag.includes(`nonce="${nonce}"`), tag);
    }
    const urls = new Set([...html.matchAll(/(?:src|href)="(\/_fresh\/js\/[^"]+)"/g)].map(([, url]) => url!));
    let bytes = 0;
    for (const url of urls) {
      const { message, body } = await raw(base + url, { "accept-encoding": "gzip" });
      const isTiny = Number(message.headers["content-length"]) < 256;
      assert.equal(message.headers["content-encoding"], isTiny ? undefined : "gzip", url);
      assert.equal(message.headers["cache-control"], "public, max-age=31536000, immutable");
      assert.equal(message.headers["content-type"], "text/javascript; charset=utf-8");
      assert.match(new TextDecoder().decode(isTiny ? body : gunzipSync(body)), /import|export/);
      bytes += body.length;
    }
    assert.ok(urls.size >= 2 && bytes < ISLAND_PAGE_MAX_GZIP_BYTES, `${urls.size} files, ${bytes} bytes`);
  });

  await t.step("a stylesheet is precompressed, immutable by its asset() URL, and answers 304", async () => {
    const url = base + /href="(\/style\.css[^"]+)"/.exec(island)![1];
    const { message, body } = await raw(url, { "accept-encoding": "br, gzip" });
    assert.equal(message.headers["content-encoding"], "br");
    assert.equal(message.headers.vary, "Accept-Encoding");
    assert.equal(message.headers["cache-control"], "public, max-age=31536000, immutable");
    assert.equal(Number(message.headers["content-length"]), body.length);
    const etag = message.headers.etag!;
    const again = await raw(url, { "if-none-match": etag });
    assert.equal(again.message.statusCode, 304);
    const plain = await raw(`${base}/style.css`, {});
    assert.equal(plain.message.headers["content-encoding"], undefined);
    assert.equal(plain.message.headers["cache-control"], "no-cache");
    assert.deepEqual(plain.body, await Deno.readFile(join(FIXTURE, "static/style.css")));
  });

  await t.step("errors: the error page with its status, and nothing of the error", async () => {
    const missing = await fetch(`${base}/none`);
    assert.equal(missing.status, 404);
    assert.match(await missing.text(), /Status 404/);
    const broken = await fetch(`${base}/api`, { method: "POST" });
    assert.equal(broken.status, 500);
    assert.doesNotMatch(await broken.text(), /secret|at POST/);
    const refused = await fetch(`${base}/api`, { method: "DELETE" });
    assert.equal(refused.status, 405);
    await refused.body?.cancel();
  });

  await t.step("nothing outside the static files is served", async () => {
    for (
      const path of ["/../snapshot.js", "/%2e%2e/snapshot.js", "/snapshot.js", "/style.css.br", "/static/style.css"]
    ) {
      const { message } = await raw(base + path, {});
      assert.equal(message.statusCode, 404, path);
    }
  });
});

/** Starts `compiled-entry.js`, which is also what a compiled binary runs. */
async function startEntry(outDir: string): Promise<AsyncDisposable & { match: string }> {
  const env = { PORT: "0", HOSTNAME: "127.0.0.1" };
  return await start(["run", "-A", "--config", CONFIG, join(outDir, "compiled-entry.js")], /:(\d+)\//, env);
}

Deno.test("Builder.build - the generated server runs in Workers", async () => {
  await using built = await build();
  const workers = [0, 1].map(() =>
    new Worker(new URL("../testdata/app/worker.ts", import.meta.url), { type: "module" })
  );
  try {
    const ports = await Promise.all(workers.map((worker) =>
      new Promise<number>((resolve, reject) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = (event) => reject(new Error(event.message));
        worker.postMessage(`file://${built.outDir}/server.js`);
      })
    ));
    const pages = await Promise.all(ports.map(async (port) => {
      const response = await fetch(`http://127.0.0.1:${port}/counter`, { headers: { connection: "close" } });
      return (await response.text()).replaceAll(/nonce="\w+"/g, "");
    }));
    assert.match(pages[0]!, /<!--fresh:i:0-->/);
    assert.equal(pages[0], pages[1]);
  } finally {
    for (const worker of workers) worker.terminate();
  }
});

Deno.test("Builder.build - is reproducible", async () => {
  await using one = await build();
  await using other = await build();
  assert.equal(
    (await Deno.readTextFile(join(one.outDir, "snapshot.js"))).replaceAll(one.outDir, ""),
    (await Deno.readTextFile(join(other.outDir, "snapshot.js"))).replaceAll(other.outDir, ""),
  );
});

Deno.test("Builder.build - a memory snapshot is applied to an app in a test", async () => {
  const applySnapshot = await new Builder({ root: FIXTURE }).build({ snapshot: "memory" });
  const app = new App<{ greeting: string }>().use(staticFiles()).fsRoutes();
  applySnapshot(app);
  const handler = app.handler();
  const html = await (await handler(new Request("http://localhost/counter"))).text();
  const entry = /src="([^"]+)"/.exec(html)![1];
  const script = await handler(new Request(`http://localhost${entry}`));
  assert.equal(script.headers.get("content-type"), "text/javascript; charset=utf-8");
  assert.match(await script.text(), /hydrate|__FRESH_STATE/);
});

Deno.test("Builder.listen - serves without a build, rebuilds islands, and reloads open pages", async () => {
  await using fixture = await copyFixture();
  const { root } = fixture;
  await using server = await start(["run", "-A", join(root, "dev.ts")], /port (\d+)/);
  const base = `http://127.0.0.1:${server.match}`;
  const page = await fetch(`${base}/counter`);
  const html = await page.text();
  assert.match(html, /live-reload\.js/);
  const code = async (text: string) => {
    const urls = [...text.matchAll(/href="(\/_fresh\/js\/[^"]+)"/g)].map(([, url]) => base + url);
    return (await Promise.all(urls.map(async (url) => await (await fetch(url)).text()))).join("\n");
  };
  assert.match(await code(html), /Count: /);
  const styles = await fetch(`${base}/style.css`);
  assert.match(styles.headers.get("cache-control")!, /no-store/);
  await styles.body?.cancel();

  const events = (await fetch(`${base}/_fresh/alive`)).body!.pipeThrough(new TextDecoderStream()).getReader();
  const { value: first } = await events.read();
  assert.match(first!, /data: /);
  const island = join(root, "islands/Counter.tsx");
  await Deno.writeTextFile(island, (await Deno.readTextFile(island)).replace("Count: ", "Changed: "));
  const { value: second } = await events.read();
  assert.notEqual(second, first);
  const changed = await (await fetch(`${base}/counter`)).text();
  assert.match(await code(changed), /Changed: /);
  await events.cancel();
});

Deno.test("Builder.build - an island that does not compile is reported with its place", async () => {
  await using fixture = await copyFixture();
  await Deno.writeTextFile(join(fixture.root, "islands/Broken.tsx"), "export default function Broken( {");
  await assert.rejects(
    new Builder({ root: fixture.root }).build({ snapshot: "memory" }),
    /Broken\.tsx:1/,
  );
});
