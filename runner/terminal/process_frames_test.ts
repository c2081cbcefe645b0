import assert from "node:assert/strict";
import { encodeMessage, MessageDecoder } from "@/protocol/terminal_codec.ts";
import { FRAME_BYTES, frameTypes, readViewer, viewerFrame, ViewerMessageFrames } from "./process_frames.ts";

Deno.test("a message for a viewer is framed as when its bytes are sent", () => {
  const frames = new ViewerMessageFrames();
  for (const length of [0, 1, 300, 65_536]) {
    const payload = new Uint8Array(length).fill(length % 251);
    const frame = frames.frame(7, 2, payload);
    assert.deepEqual(frame, viewerFrame(frameTypes.data, 7, encodeMessage(2, payload)));
    const [read] = new MessageDecoder(FRAME_BYTES).push(frame);
    assert.deepEqual(readViewer(read!), { viewer: 7, bytes: encodeMessage(2, payload) });
  }
});
