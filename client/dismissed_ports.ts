/** Ports of a session whose cards a person sent away, kept for this tab. */
import * as z from "zod/mini";
import type { TextStore } from "./outbox.ts";

const PREFIX = "perch.ports.";
const Ports = z.array(z.number()).check(z.maxLength(1_000));

export function dismissedPorts(store: TextStore, sessionId: string): ReadonlySet<number> {
  try {
    return new Set(Ports.parse(JSON.parse(store.getItem(PREFIX + sessionId) ?? "[]")));
  } catch {
    return new Set();
  }
}

/** Keeps one more, and returns all. Storage that is full or forbidden costs only the keeping. */
export function dismissPort(store: TextStore, sessionId: string, port: number): ReadonlySet<number> {
  const ports = new Set([...dismissedPorts(store, sessionId), port]);
  try {
    store.setItem(PREFIX + sessionId, JSON.stringify([...ports]));
  } catch {
    return ports;
  }
  return ports;
}
