import assert from "node:assert/strict";
import { MetaPatch } from "@/protocol/mod.ts";
import {
  commandsOf,
  emptyConfig,
  maxCommandsChars,
  metaOfConfig,
  readConfig,
  withMode,
  withOption,
} from "./acp_config.ts";

const select = (id: string, category: string | undefined, currentValue: string, ...values: string[]) => ({
  id,
  type: "select",
  name: id,
  ...(category === undefined ? {} : { category }),
  currentValue,
  options: values.map((value) => ({ value, name: value.toUpperCase() })),
});

Deno.test("options of the known categories become model, mode and thinking level; the rest stay options", () => {
  const config = readConfig(emptyConfig, {
    configOptions: [
      select("model", "model", "anthropic/opus", "anthropic/opus", "sonnet"),
      select("mode", "mode", "ask", "ask", "auto"),
      select("effort", "thought_level", "low", "low", "high"),
      select("fast", undefined, "off", "on", "off"),
      { id: "flag", type: "boolean", currentValue: true },
    ],
    modes: { currentModeId: "ask", availableModes: [{ id: "ask", name: "Ask" }] },
  });
  const meta = MetaPatch.parse(metaOfConfig(config, "claude"));
  assert.deepEqual(meta.model, { provider: "anthropic", id: "anthropic/opus", name: "ANTHROPIC/OPUS" });
  assert.deepEqual(meta.models?.map((model) => model.provider), ["anthropic", "claude"]);
  assert.deepEqual(meta.mode?.availableModes.map((mode) => mode.id), ["ask", "auto"]);
  assert.deepEqual(meta.thinkingLevel, { current: "low", levels: ["low", "high"] });
  assert.deepEqual(meta.configOptions?.map((option) => option.id), ["fast"]);
  const changed = metaOfConfig(withOption(withMode(config, "auto"), "fast", "on"), "claude");
  assert.equal(changed.mode?.currentModeId, "auto");
  assert.equal(changed.configOptions?.[0]?.currentValue, "on");
});

Deno.test("an agent without any of it has none of it", () => {
  assert.deepEqual(metaOfConfig(readConfig(emptyConfig, {}), "x"), {
    model: null,
    models: [],
    mode: null,
    configOptions: [],
    thinkingLevel: null,
  });
});

Deno.test("a current model that is not in the list is still shown; broken items are left out", () => {
  const config = readConfig(emptyConfig, {
    models: { currentModelId: "gone", availableModels: [{ modelId: "" }, { name: "no id" }, { modelId: "m" }, 7] },
  });
  const meta = metaOfConfig(config, "codex");
  assert.equal(meta.model?.id, "gone");
  assert.deepEqual(meta.models?.map((model) => model.id), ["m"]);
});

Deno.test("commands keep their names; descriptions shrink to the bound", () => {
  assert.deepEqual(commandsOf([{ name: "a", description: "A", input: { hint: "h" } }, { name: "" }, null]), [
    { name: "a", description: "A", hint: "h" },
  ]);
  const many = Array.from(
    { length: 2_500 },
    (_, place) => ({ name: `command-${place}`, description: "d".repeat(3_000) }),
  );
  const kept = commandsOf(many);
  assert.equal(kept.length, 2_000);
  assert.ok(JSON.stringify(kept).length <= maxCommandsChars);
  MetaPatch.parse({ commands: kept });
});
