/** A pi extension for the tests: asks before every bash command, in the way that people's permission gates do. */
interface Pi {
  on(
    event: "tool_call",
    handler: (
      event: { toolName: string; input: { command?: string } },
      context: { ui: { select(title: string, options: string[]): Promise<string | undefined> } },
    ) => Promise<{ block: boolean; reason: string } | undefined>,
  ): void;
}

export default function gate(pi: Pi): void {
  pi.on("tool_call", async (event, context) => {
    if (event.toolName !== "bash") return undefined;
    const choice = await context.ui.select(`Allow bash?\n\n  ${event.input.command}`, [
      "Allow once",
      "Allow always",
      "Deny",
    ]);
    return choice?.startsWith("Allow") ? undefined : { block: true, reason: "the person said no" };
  });
}
