/**
 * What one session's host says in the session benches, one message a step: agent messages of an opening record, ten deltas and a
 * closing record. A message tells which steps it covers, so that receivers know what they have without any mark in it.
 */
import type { Message } from "./hub_socket.ts";

export const DELTAS = 10;
/** Messages of one entry. */
export const STEPS = DELTAS + 2;
const TEXT = "The quick brown fox jumps over the lazy dog and runs home. ";
const WHOLE_TEXT = TEXT.repeat(DELTAS);

export function entryIdOf(index: number): string {
  return `m@${index}`;
}

/** The text of entry `index` after `step` of its steps. */
export function textAfter(steps: number): string {
  return TEXT.repeat(Math.max(0, Math.min(DELTAS, steps - 1)));
}

export interface ScriptedMessage {
  json: string;
  /** A durable record's; null of a delta. */
  seq: number | null;
}

/** Message number `n`, from 0 on. */
export function messageAt(sessionId: string, epoch: number, n: number): ScriptedMessage {
  const index = Math.floor(n / STEPS);
  const step = n % STEPS;
  if (step > 0 && step < STEPS - 1) {
    return { json: deltaJson(sessionId, epoch, index, (step - 1) * TEXT.length, TEXT), seq: null };
  }
  const seq = index * 2 + (step === 0 ? 1 : 2);
  const text = step === 0 ? "" : WHOLE_TEXT;
  const entry = {
    id: entryIdOf(index),
    index,
    kind: "agent_message",
    head: { status: step === 0 ? "running" : "completed", startedAt: 1_700_000_000_000, textLength: text.length },
    body: { text },
  };
  return { json: JSON.stringify({ type: "event", sessionId, epoch, seq, entry }), seq };
}

/** The text of the open entry that no record holds after `n` messages, as one delta; null when there is none. */
export function openDelta(sessionId: string, epoch: number, n: number): string | null {
  const text = textAfter(n % STEPS);
  return text === "" ? null : deltaJson(sessionId, epoch, Math.floor(n / STEPS), 0, text);
}

function deltaJson(sessionId: string, epoch: number, index: number, at: number, text: string): string {
  return JSON.stringify({ type: "delta", sessionId, epoch, entryId: entryIdOf(index), at, text });
}

/** The steps [from, to) of an event or delta. */
export function stepsOf(message: Message): [from: number, to: number] {
  if (message.type === "event") {
    const { index, head } = message.entry as { index: number; head: { status: string } };
    const n = index * STEPS + (head.status === "running" ? 0 : STEPS - 1);
    return [n, n + 1];
  }
  const base = Number((message.entryId as string).slice(2)) * STEPS + 1;
  const from = (message.at as number) / TEXT.length;
  return [base + from, base + from + (message.text as string).length / TEXT.length];
}

/** The steps that a stored entry stands for: those of a closed one include its deltas'. */
export function stepsOfEntry(entry: { index: number; head: { status: string } }): [from: number, to: number] {
  const from = entry.index * STEPS;
  return [from, from + (entry.head.status === "running" ? 1 : STEPS)];
}
