/** A viewer that does not read: nobody else waits for it, and when it reads again it is given fresh state. */
import assert from "node:assert/strict";
import { RawSocket, textFrame } from "@/bench/load/raw_socket.ts";
import { type MessageOf, parseFrame, viewerServer } from "@/protocol/mod.ts";
import { SessionTimeline } from "@/protocol/log/mod.ts";
import { startHub } from "../support/hub.ts";
import { Changes } from "../support/patience.ts";
import { ScriptedProducer } from "../support/producer.ts";
import { socketUrl } from "../support/socket.ts";
import { ScriptedViewer } from "../support/viewer.ts";

/** More than the kernel's socket buffers and the hub's own bound for one viewer together hold. */
const MESSAGES = 60;
const MESSAGE_CHARS = 512 * 1024;

type ViewerMessage = MessageOf<typeof viewerServer>;
type Content = Extract<ViewerMessage, { type: "connected" | "snapshot" | "changes" | "event" | "delta" }>;

function isContent(message: ViewerMessage): message is Content {
  return ["connected", "snapshot", "changes", "event", "delta"].includes(message.type);
}

Deno.test("a viewer that stops reading is cut down to fresh state, and its neighbours notice nothing", async () => {
  await using hub = await startHub();
  await using host = new ScriptedProducer(hub);
  await host.registered();
  host.say("first");
  await host.settled();
  await using neighbour = new ScriptedViewer(hub, host.sessionId);
  await neighbour.live();

  const timeline = new SessionTimeline(host.sessionId);
  const received: string[] = [];
  const changes = new Changes();
  let generation = 0;
  const attach = () => slow.send(textFrame(JSON.stringify(timeline.attach(++generation))));
  const take = (message: ViewerMessage) => {
    received.push(message.type === "disconnected" ? `disconnected ${message.code}` : message.type);
    if (message.type === "disconnected") attach();
    else if (isContent(message) && timeline.apply(message).needsAttach) attach();
  };
  let text = "";
  let decoder = new TextDecoder();
  const slow: RawSocket = await RawSocket.open(
    socketUrl(hub, "viewer").replace("localhost", "127.0.0.1"),
    { cookie: hub.cookie, origin: hub.url, host: hub.host },
    (bytes, start, end, isEnd) => {
      text += decoder.decode(bytes.subarray(start, end), { stream: !isEnd });
      if (!isEnd) return;
      const frame = parseFrame(viewerServer, text);
      text = "";
      decoder = new TextDecoder();
      assert.deepEqual(frame.errors, []);
      frame.messages.forEach(take);
      changes.notify();
    },
  );
  using _ = slow;
  attach();
  await changes.until(() => timeline.phase === "live", "the attachment");

  const asleep = Promise.withResolvers<void>();
  slow.pace = () => asleep.promise;
  for (let i = 0; i < MESSAGES; i++) {
    host.say(`${i}:`.padEnd(MESSAGE_CHARS, "x"));
    // One after another, so that the host keeps within what it may send unacknowledged.
    await host.settled();
  }
  await neighbour.until(() => neighbour.timeline.cursor?.seq === host.lastSeq, "everything at the neighbour");
  assert.equal(neighbour.counts.connects, 1);
  assert.equal((await hub.health())?.status, "ok");

  assert.equal(await hub.metric("perch_viewers_slow_total"), 1);

  slow.pace = null;
  asleep.resolve();
  await changes.until(() => timeline.cursor?.seq === host.lastSeq, "everything at the slow viewer");
  assert.ok(received.includes("disconnected lagging"), received.join(" "));
  assert.ok(received.filter((type) => type === "event").length < MESSAGES, "it was not sent the whole backlog");
  for (const id of timeline.ids) assert.deepEqual(timeline.get(id), neighbour.timeline.get(id));
  assert.equal(timeline.ids.length > 0, true);
  assert.equal(slow.fault, null);
  await slow.close();
});
