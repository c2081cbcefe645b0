/**
 * Plays an agent's side of a recorded stream over real stdio: `deno run -A replay_agent.ts <file> [--pi]`, where the file holds
 * a JSON array of Line. Waits for each message that the recording client sent (by method, or for the reply by id),
 * maps request ids, and before waiting for a cancel says so with a notification of its own.
 */
import { AcpPlayer, PiPlayer } from "./replay_player.ts";

const file = Deno.args[0];
if (file === undefined) throw new Error("usage: replay_agent.ts <file> [--pi]");
const Player = Deno.args[1] === "--pi" ? PiPlayer : AcpPlayer;
const writer = Deno.stdout.writable.getWriter();
const encoder = new TextEncoder();
const player = new Player(JSON.parse(Deno.readTextFileSync(file)), (message) => {
  writer.write(encoder.encode(JSON.stringify(message) + "\n"));
});
player.advance();
let rest = "";
const decoder = new TextDecoder();
for await (const chunk of Deno.stdin.readable) {
  rest += decoder.decode(chunk, { stream: true });
  const lines = rest.split("\n");
  rest = lines.pop() ?? "";
  for (const line of lines) if (line !== "") player.receive(JSON.parse(line));
}
