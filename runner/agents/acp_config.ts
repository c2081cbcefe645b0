/**
 * Models, modes and options as ACP agents list them: as select `configOptions`, as legacy `modes` and as the unstable
 * `models`; some agents send two of these at once. Pure: an AcpConfig is what is known, `metaOfConfig` what people see.
 */
import type { ConfigOption, MetaPatch, ModelInfo } from "@/protocol/mod.ts";
import { arrayOf, isObject, objectOf, stringOf } from "./read.ts";
import { clip } from "./tool_output.ts";

export interface AcpConfig {
  options: ConfigOption[];
  modes: { currentModeId: string; availableModes: { id: string; name: string; description?: string }[] } | null;
  models: { currentModelId: string; availableModels: { id: string; name?: string }[] } | null;
}

export const emptyConfig: AcpConfig = { options: [], modes: null, models: null };

/** Characters that all of an agent's commands may take; beyond it descriptions shrink (Qwen sends 569 KB of them). */
export const maxCommandsChars = 128 * 1024;

/** What the reply to session/new, load or resume says. Fields that it leaves out keep their value. */
export function readConfig(config: AcpConfig, reply: unknown): AcpConfig {
  const fields = objectOf(reply);
  const modes = objectOf(fields.modes);
  const models = objectOf(fields.models);
  const currentModeId = stringOf(modes.currentModeId);
  const currentModelId = stringOf(models.currentModelId);
  return {
    options: Array.isArray(fields.configOptions) ? optionsOf(fields.configOptions) : config.options,
    modes: currentModeId === undefined ? config.modes : {
      currentModeId: clip(currentModeId, 256),
      availableModes: arrayOf(modes.availableModes).flatMap((mode) => {
        const { id, name, description } = objectOf(mode);
        if (typeof id !== "string" || id.length > 256) return [];
        return [{ id, name: clip(stringOf(name) ?? id, 256), ...descriptionOf(description) }];
      }).slice(0, 64),
    },
    models: currentModelId === undefined ? config.models : {
      currentModelId: clip(currentModelId, 256),
      availableModels: arrayOf(models.availableModels).flatMap((model) => {
        const { modelId, name } = objectOf(model);
        if (typeof modelId !== "string" || modelId === "" || modelId.length > 256) return [];
        return [{ id: modelId, ...(typeof name === "string" ? { name: clip(name, 256) } : {}) }];
      }).slice(0, 1_000),
    },
  };
}

/** The select options of a configOptions list; other types and broken ones are left out. */
export function optionsOf(value: unknown): ConfigOption[] {
  return arrayOf(value).flatMap((item) => {
    const { id, name, category, description, currentValue, type, options } = objectOf(item);
    if (typeof id !== "string" || id.length > 128 || typeof currentValue !== "string") return [];
    if (type !== undefined && type !== "select") return [];
    return [{
      id,
      name: clip(stringOf(name) ?? id, 256),
      ...(typeof category === "string" ? { category: clip(category, 64) } : {}),
      ...descriptionOf(description),
      currentValue: clip(currentValue, 512),
      options: arrayOf(options).flatMap(choicesOf).slice(0, 500),
    }];
  }).slice(0, 64);
}

/** One choice, or the choices of a group. */
function choicesOf(value: unknown): ConfigOption["options"] {
  if (!isObject(value)) return [];
  if (Array.isArray(value.options)) return value.options.flatMap(choicesOf);
  if (typeof value.value !== "string" || value.value.length > 512) return [];
  return [{
    value: value.value,
    name: clip(stringOf(value.name) ?? value.value, 256),
    ...descriptionOf(value.description),
  }];
}

function descriptionOf(value: unknown): { description?: string } {
  return typeof value === "string" && value !== "" ? { description: clip(value, 2_000) } : {};
}

/** The option that chooses the model, the mode or the thinking level, where the agent has one. */
export function optionFor(config: AcpConfig, category: "model" | "mode" | "thought_level"): ConfigOption | undefined {
  return config.options.find((option) => option.category === category) ??
    (category === "thought_level" ? undefined : config.options.find((option) => option.id === category));
}

/** The config with one option's value set; for agents that do not answer with their new list (droid). */
export function withOption(config: AcpConfig, optionId: string, value: string): AcpConfig {
  return {
    ...config,
    options: config.options.map((option) => option.id === optionId ? { ...option, currentValue: value } : option),
  };
}

/** The config with the mode set, in each of the ways in which the agent lists modes. */
export function withMode(config: AcpConfig, modeId: string): AcpConfig {
  const option = optionFor(config, "mode");
  const next = option?.options.some((choice) => choice.value === modeId)
    ? withOption(config, option.id, modeId)
    : config;
  return next.modes ? { ...next, modes: { ...next.modes, currentModeId: modeId } } : next;
}

/** The config as meta. Model, mode and thinking level have fields of their own; the other options stay options. */
export function metaOfConfig(config: AcpConfig, agentId: string): MetaPatch {
  const modelOption = optionFor(config, "model");
  const modeOption = optionFor(config, "mode");
  const levelOption = optionFor(config, "thought_level");
  const models: ModelInfo[] = modelOption
    ? modelOption.options.flatMap((choice) => modelInfo(choice.value, choice.name, agentId))
    : (config.models?.availableModels ?? []).flatMap((model) => modelInfo(model.id, model.name, agentId));
  const modelId = modelOption?.currentValue ?? config.models?.currentModelId;
  const model = modelId === undefined
    ? null
    : models.find((candidate) => candidate.id === modelId) ?? modelInfo(modelId, undefined, agentId)[0] ?? null;
  const shown = new Set([modelOption?.id, modeOption?.id, levelOption?.id]);
  return {
    model,
    models,
    mode: modeOption
      ? {
        currentModeId: clip(modeOption.currentValue, 256),
        availableModes: modeOption.options.filter((choice) => choice.value.length <= 256).slice(0, 64).map((
          choice,
        ) => ({
          id: choice.value,
          name: choice.name,
          ...descriptionOf(choice.description),
        })),
      }
      : config.modes,
    configOptions: config.options.filter((option) => !shown.has(option.id)),
    thinkingLevel: levelOption
      ? {
        current: clip(levelOption.currentValue, 64),
        levels: levelOption.options.map((choice) => choice.value).filter((level) => level.length <= 64).slice(0, 16),
      }
      : null,
  };
}

/** ACP names no provider: it is what stands before the slash of the model's id, else the agent itself. */
function modelInfo(id: string, name: string | undefined, agentId: string): ModelInfo[] {
  if (id === "" || id.length > 256) return [];
  const slash = id.indexOf("/");
  const provider = slash > 0 && slash <= 128 ? id.slice(0, slash) : agentId;
  return [{ provider: clip(provider, 128), id, ...(name === undefined ? {} : { name }) }];
}

/** The agent's commands. All names stay; descriptions shrink until the whole list is of a reasonable size. */
export function commandsOf(value: unknown): NonNullable<MetaPatch["commands"]> {
  const commands = arrayOf(value).flatMap((item) => {
    const { name, description, input } = objectOf(item);
    if (typeof name !== "string" || name === "" || name.length > 256) return [];
    const hint = stringOf(objectOf(input).hint);
    return [{ name, description: stringOf(description), hint: hint === undefined ? undefined : clip(hint, 1_000) }];
  }).slice(0, 2_000);
  const withDescriptions = (chars: number) =>
    commands.map(({ name, description, hint }) => ({
      name,
      ...(description && chars > 0 ? { description: clip(description, chars) } : {}),
      ...(hint && chars > 0 ? { hint: clip(hint, Math.min(chars, 1_000)) } : {}),
    }));
  for (const chars of [2_000, 500, 200, 80]) {
    const list = withDescriptions(chars);
    if (JSON.stringify(list).length <= maxCommandsChars) return list;
  }
  return withDescriptions(0);
}
