/** The wire contract of Perch: schemas and pure functions shared by hub, runner and browser. */
export * from "./limits.ts";
export * from "./shared.ts";
export * from "./entry.ts";
export * from "./meta.ts";
export * from "./command.ts";
export * from "./history.ts";
export * from "./relay.ts";
export * from "./runner.ts";
export * from "./viewer.ts";
export * from "./hub.ts";
export * from "./runners.ts";
export * from "./frame.ts";
export * from "./version.ts";
export * from "./password.ts";
