/** Recorded agent streams (tests/fixtures/transcripts): one JSON line each, `{t, dir, msg}`. */
import { fileURLToPath } from "node:url";
import { objectOf, stringOf } from "@/runner/agents/read.ts";

export type Json = Record<string, unknown>;

export interface Line {
  dir: "in" | "out";
  msg: Json;
}

const folder = new URL("../fixtures/transcripts/", import.meta.url);

/** Names of the transcripts that begin with `prefix`, without ".jsonl". */
export function transcriptNames(prefix = ""): string[] {
  return [...Deno.readDirSync(fileURLToPath(folder))].map((file) => file.name)
    .filter((name) => name.endsWith(".jsonl") && name.startsWith(prefix))
    .map((name) => name.slice(0, -".jsonl".length)).sort();
}

/** The messages of a transcript in both directions; stderr and notes of the recording are left out. */
export function readTranscript(name: string): Line[] {
  return Deno.readTextFileSync(new URL(`${name}.jsonl`, folder)).split("\n").filter((line) => line !== "").flatMap(
    (line) => {
      const { dir, msg } = objectOf(JSON.parse(line));
      return dir === "in" || dir === "out" ? [{ dir, msg: objectOf(msg) }] : [];
    },
  );
}

/** What the adapter itself sends; other requests of the recording client are left out of a replay. */
const acpMethods = new Set([
  "initialize",
  "session/new",
  "session/load",
  "session/resume",
  "session/prompt",
  "session/cancel",
]);

/**
 * The runs (processes) of an ACP transcript, each as the adapter would have made it: without requests that it does not send
 * and their replies, and only up to a fork, after which other sessions mix in. `method` says how its conversation began.
 */
export function acpRuns(name: string): { method: string; sessionId: string; lines: Line[] }[] {
  const runs: Line[][] = [];
  for (const line of readTranscript(name)) {
    if (line.dir === "in" && line.msg.method === "initialize") runs.push([]);
    runs.at(-1)?.push(line);
  }
  return runs.flatMap((run) => {
    const skipped = new Set<unknown>();
    const lines: Line[] = [];
    let isRefused = false;
    for (const line of run) {
      const method = stringOf(line.msg.method);
      if (line.dir === "in" && method !== undefined) {
        if (method === "session/fork") break;
        if (!acpMethods.has(method)) {
          skipped.add(line.msg.id);
          continue;
        }
      }
      if (line.dir === "out" && method === undefined && skipped.has(line.msg.id)) continue;
      lines.push(line);
    }
    const begin = lines.find((line) => line.dir === "in" && /session\/(new|load|resume)/.test(String(line.msg.method)));
    if (!begin) return [];
    const reply = lines.find((line) =>
      line.dir === "out" && line.msg.method === undefined && line.msg.id === begin.msg.id
    );
    isRefused = reply?.msg.error !== undefined;
    if (isRefused) return [];
    const sessionId = stringOf(objectOf(begin.msg.params).sessionId) ??
      stringOf(objectOf(reply?.msg.result).sessionId) ?? "";
    const method = String(begin.msg.method);
    // The adapter prefers resume: a recorded load is reached when the agent does not offer it.
    if (method === "session/load") {
      const initialized = lines.find((line) => line.dir === "out" && line.msg.method === undefined);
      const capabilities = objectOf(objectOf(initialized?.msg.result).agentCapabilities);
      delete objectOf(capabilities.sessionCapabilities).resume;
    }
    return [{ method, sessionId, lines }];
  });
}
