/** Completion of an agent's slash commands in the composer. Pure. */
import type { SessionMeta } from "@/protocol/meta.ts";

type AvailableCommand = SessionMeta["commands"][number];

/** Most commands that are offered at once. */
const OFFERED_MAX = 8;

/** Commands to offer for a draft: only while its first word is being typed, those that begin with it before those that hold it. */
export function offeredCommands(draft: string, commands: readonly AvailableCommand[]): AvailableCommand[] {
  const typed = /^\/(\S*)$/.exec(draft)?.[1]?.toLowerCase();
  if (typed === undefined) return [];
  const names = commands.map((command) => ({ command, name: command.name.replace(/^\//, "").toLowerCase() }));
  const begins = names.filter(({ name }) => name.startsWith(typed));
  const holds = names.filter(({ name }) => !name.startsWith(typed) && name.includes(typed));
  return [...begins, ...holds].slice(0, OFFERED_MAX).map(({ command }) => command);
}

/** The draft after choosing a command. */
export function completedDraft(command: AvailableCommand): string {
  return `/${command.name.replace(/^\//, "")} `;
}
