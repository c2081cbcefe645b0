import assert from "node:assert/strict";
import { Counters } from "@/lib/counters.ts";
import { type Metric, metricTable } from "@/lib/metrics_table.ts";
import { renderMetrics } from "@/lib/metrics_text.ts";
import { parseMetrics, total } from "./prometheus.ts";

Deno.test("isolates that did not answer are shown as down, labels are escaped, one process is told once", () => {
  const counters = new Counters();
  counters.add("frames_refused", 'odd "label"\\\n', 2);
  counters.observe("commit", 3);
  counters.set("process_cpu_seconds", "", 1.5);
  const own = counters.snapshot();
  const page = renderMetrics([
    { isolate: "a", process: "host:1", ...own },
    { isolate: "b", process: "host:1", ...own },
    { isolate: "c", process: "other:1", ...own },
  ], ["d"]);
  const metrics = parseMetrics(page);
  assert.equal(total(metrics, "perch_isolate_up"), 3);
  assert.equal(total(metrics, "perch_isolate_up", { isolate: "d" }), 0);
  assert.equal(total(metrics, "perch_frames_refused_total", { code: 'odd "label"\\\n' }), 6);
  assert.equal(total(metrics, "perch_process_cpu_seconds_total"), 3);
  assert.equal(metrics.get("perch_commit_seconds")!.samples.filter(({ name }) => name.endsWith("_count")).length, 3);
});

Deno.test("the reader refuses what Prometheus would", () => {
  const head = "# HELP a_total x\n# TYPE a_total counter\n";
  for (
    const wrong of [
      `${head}a_total 1`,
      `${head}a_total{l="1} 1\n`,
      `${head}a_total one\n`,
      `${head}b_total 1\n`,
      `${head}a_total 1\na_total 2\n`,
      `${head}`,
      "a_total 1\n",
      "# HELP a x\n# TYPE a counter\na 1\n",
      "# HELP a x\n# TYPE a sort\na 1\n",
    ]
  ) assert.throws(() => parseMetrics(wrong), Error, wrong);
  assert.equal(total(parseMetrics(`${head}a_total{l="1"} 1e3\n`), "a_total"), 1_000);
});

Deno.test("docs/operations.md names every metric with its kind and labels", async () => {
  const page = await Deno.readTextFile(new URL("../../docs/operations.md", import.meta.url));
  for (const [name, metric] of Object.entries<Metric>(metricTable)) {
    const full = `perch_${name}${{ counter: "_total", gauge: "", histogram: "_seconds" }[metric.kind]}`;
    const labels = [metric.isOfProcess ? "process" : "isolate", ...(metric.label ? [metric.label] : [])].join(", ");
    const row = `| \`${full}\` | ${metric.kind} | ${labels} |`;
    assert.ok(page.includes(row), `docs/operations.md lacks the row ${row}`);
  }
});
