/**
 * An agent over ACP that starts a development server when it is asked to, as agents do: `deno run -A listening_agent.ts`. The
 * server is a process of its own below the agent's, on a port that the system chooses.
 */
interface Message {
  id?: number | string;
  method?: string;
  params?: { sessionId?: string };
}

const server = `Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () =>
  new Response(\`<!doctype html><meta name="viewport" content="width=device-width"><title>Pond</title>
<style>body{margin:0;font:16px/1.5 system-ui;background:#eef6f1;color:#17352a}main{max-width:36rem;margin:0 auto;padding:3rem 1.5rem}
h1{font-size:2rem;margin:0 0 1rem}ul{padding:0;list-style:none;display:grid;gap:.75rem}li{background:#fff;border-radius:.75rem;padding:1rem}
small{color:#5b7468}</style><main><h1>The pond</h1><ul><li>Reeds<br><small>to the left, cut in March</small><li>Perches<br>
<small>eleven, one of them shy</small><li>Water lilies<br><small>from June to September</small></ul></main>\`,
  { headers: { "content-type": "text/html" } }));`;

const encoder = new TextEncoder();
const writer = Deno.stdout.writable.getWriter();
const send = (message: object) => writer.write(encoder.encode(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`));
const children: Deno.ChildProcess[] = [];

async function answer({ id, method, params }: Message): Promise<void> {
  const reply = (result: object) => send({ id, result });
  if (method === "initialize") await reply({ protocolVersion: 1, agentCapabilities: {}, authMethods: [] });
  else if (method === "session/new") await reply({ sessionId: "one" });
  else if (method === "session/prompt") {
    children.push(new Deno.Command(Deno.execPath(), { args: ["eval", server], stdin: "null", stdout: "null" }).spawn());
    const content = { type: "text", text: "The page of the pond is ready. I have started its development server." };
    const update = { sessionUpdate: "agent_message_chunk", content };
    await send({ method: "session/update", params: { sessionId: params?.sessionId, update } });
    await reply({ stopReason: "end_turn" });
  } else if (id !== undefined && method !== undefined) await reply({});
}

let rest = "";
for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  const lines = (rest + text).split("\n");
  rest = lines.pop() ?? "";
  for (const line of lines) if (line !== "") await answer(JSON.parse(line));
}
for (const child of children) child.kill();
