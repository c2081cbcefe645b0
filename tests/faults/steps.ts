/** What the fault tests' agent says: a function of a seed, known to the agent and to the test. */

/** One step of the agent: a message in chunks, then a tool call whose output comes in chunks. */
export interface Step {
  message: string[];
  toolCallId: string;
  output: string[];
}

/** What the agent is asked to do; travels as the prompt's text. */
export interface Order {
  seed: number;
  /** First and last step, counted from 1. */
  from: number;
  to: number;
  /** Pause after each step, so that there is a stream to break. */
  paceMs: number;
}

/** Durable records that one step makes: a message opened and closed, a tool call opened, running and closed. */
export const RECORDS_A_STEP = 5;

/** A small deterministic generator of numbers in [0, 1) (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const WORDS = ["Größe", "tree", "naïve", "🚀", "log", "\n", "line ", "x".repeat(40), "日本語", "{}", "\\", '"'];

export function stepOf(seed: number, number: number): Step {
  const random = randomOf(seed * 100_003 + number);
  const words = () =>
    Array.from({ length: 1 + Math.floor(random() * 5) }, () => WORDS[Math.floor(random() * WORDS.length)]!);
  return {
    message: [`Step ${number}: `, ...words()],
    toolCallId: `call-${number}`,
    output: [`output ${number} `, ...words()],
  };
}
