import assert from "node:assert/strict";
import { staticImports, weighPage } from "./page_weight.ts";

Deno.test("static imports are found in minified code, dynamic ones are not", () => {
  const code = 'import{a as b,c}from"./chunk-A.js";import"./side.js";import d,{e}from\'./chunk-B.js\';var x=1;' +
    'export{y}from"./chunk-C.js";import*as z from"./chunk-D.js";const l=()=>import("./lazy.js");export{x as default};';
  assert.deepEqual(staticImports(code), ["./chunk-A.js", "./side.js", "./chunk-B.js", "./chunk-C.js", "./chunk-D.js"]);
});

Deno.test("a page's weight is what it loads eagerly, each file once", async () => {
  const files: Record<string, string> = {
    "/js/entry.js": 'import{a}from"./shared.js";import("./lazy.js");',
    "/js/island.js": 'import{a}from"./shared.js";',
    "/js/shared.js": "export const a=1;",
    "/inline.js": "1",
    "/style.css?v=1&x=2": "body{}",
  };
  const html = '<link rel="stylesheet" href="/style.css?v=1&amp;x=2"><link rel="modulepreload" href="/js/island.js">' +
    '<link rel="icon" href="/icon.svg"><script type="module" src="/js/entry.js"></script>' +
    '<script type="module">import "/inline.js";</script><script type="application/json">{"import":"no"}</script>';
  const asked: string[] = [];
  const weight = await weighPage(html, (path) => {
    asked.push(path);
    const text = files[path];
    return text === undefined
      ? Promise.reject(new Error(`asked for ${path}`))
      : Promise.resolve({ text, bytes: text.length });
  });
  assert.deepEqual([...asked].sort(), Object.keys(files).sort());
  assert.equal(weight.styleBytes, 6);
  assert.equal(
    weight.scriptBytes,
    Object.entries(files).reduce((sum, [path, text]) => sum + (path.includes("css") ? 0 : text.length), 0),
  );
});
