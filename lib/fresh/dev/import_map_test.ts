import assert from "node:assert/strict";
import { join } from "node:path";
import { readImportMap, resolveImport } from "./import_map.ts";

const MAP = {
  folder: "/app",
  imports: {
    "@/": "./",
    "@/special/": "./elsewhere/",
    "fresh/runtime": "./lib/fresh/runtime.ts",
    "preact": "npm:preact@10.29.8",
    "preact/hooks": "npm:preact@10.29.8/hooks",
    "@scope/pkg": "npm:@scope/pkg@1.0.0/sub",
    "remote": "https://example.com/mod.ts",
  },
};

Deno.test("resolveImport - files, packages and prefixes", () => {
  const table = {
    "@/components/a.tsx": { kind: "file", path: "/app/components/a.tsx" },
    "@/special/a.ts": { kind: "file", path: "/app/elsewhere/a.ts" },
    "fresh/runtime": { kind: "file", path: "/app/lib/fresh/runtime.ts" },
    "preact": { kind: "package", specifier: "preact" },
    "preact/hooks": { kind: "package", specifier: "preact/hooks" },
    "@scope/pkg": { kind: "package", specifier: "@scope/pkg/sub" },
    "npm:@scope/x@^2": { kind: "package", specifier: "@scope/x" },
    "remote": null,
    "unknown": null,
  };
  for (const [specifier, expected] of Object.entries(table)) {
    assert.deepEqual(resolveImport(specifier, MAP), expected, specifier);
  }
});

Deno.test("readImportMap - of the nearest deno.json above, or says that there is none", async () => {
  const map = await readImportMap(join(import.meta.dirname!, "../testdata/app"));
  assert.equal(map.imports["fresh"], "./lib/fresh/mod.ts");
  await assert.rejects(readImportMap("/proc"), /No deno\.json at or above \/proc/);
});
