/** The sequence logic of a session's log: pure code shared by host (producer), hub (receiver, attach) and viewer (timeline). */
export * from "./attach.ts";
export * from "./producer.ts";
export * from "./receiver.ts";
export * from "./text.ts";
export * from "./timeline.ts";
