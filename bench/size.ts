/** `deno task size`: what a first visit to the dashboard and to a session really loads, gzipped, in KB of 1,024 bytes. */
import { startHub } from "../tests/support/hub.ts";
import { gzipFetcher, weighPage } from "./page_weight.ts";
import { printReport, type Result, result } from "./report.ts";

await using hub = await startHub();
const fetchText = gzipFetcher(hub.url, { cookie: hub.cookie });
const results: Result[] = [];
let styleBytes = 0;
for (const [name, path] of [["dashboard", "/"], ["session", "/session/any"]] as const) {
  const weight = await weighPage((await fetchText(path)).text, fetchText);
  console.error(`${name}: ${weight.scripts.length} scripts of ${weight.scriptBytes} bytes`);
  results.push(result(`size.${name}_js_gzip_kb`, "KB", weight.scriptBytes / 1_024));
  styleBytes = Math.max(styleBytes, weight.styleBytes);
}
results.push(result("size.css_gzip_kb", "KB", styleBytes / 1_024));
printReport("size", results);
