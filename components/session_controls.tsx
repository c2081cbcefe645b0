/** Model, mode, thinking level and the agent's own options, and how full its context is. */
import { useComputed } from "@preact/signals";
import type { JSX } from "preact";
import type { ModelInfo } from "@/protocol/shared.ts";
import type { SessionCommand } from "@/protocol/command.ts";
import type { TokenUsage } from "@/protocol/meta.ts";
import { compactCount } from "@/client/format.ts";
import { useSession } from "./session_context.ts";

export function SessionControls(): JSX.Element {
  const { store } = useSession();
  const { model, models, mode, thinkingLevel, configOptions, usage, can, isCompacting } = store.meta.value;
  // Agents tell their model and mode twice: as a field and as a config option. One picker each is enough.
  const options = configOptions.filter(({ category }) =>
    !(category === "model" && models.length > 0) && !(category === "mode" && mode) &&
    !(category === "thought_level" && thinkingLevel)
  );
  return (
    <div class="controls">
      {models.length > 0
        ? <ModelPicker model={model} models={models} />
        : model && <span class="control-text">{model.name ?? model.id}</span>}
      {mode && (
        <Picker
          label="Mode"
          value={mode.currentModeId}
          choices={mode.availableModes.map(({ id, name }) => ({ value: id, name }))}
          command={(modeId) => ({ kind: "set_mode", modeId })}
        />
      )}
      {thinkingLevel && (
        <Picker
          label="Thinking"
          value={thinkingLevel.current}
          choices={thinkingLevel.levels.map((level) => ({ value: level, name: `Thinking: ${level}` }))}
          command={(level) => ({ kind: "set_thinking_level", level })}
        />
      )}
      {options.map((option) => (
        <Picker
          key={option.id}
          label={option.name}
          value={option.currentValue}
          choices={option.options.map(({ value, name }) => ({ value, name: `${option.name}: ${name}` }))}
          command={(value) => ({ kind: "set_config_option", optionId: option.id, value })}
        />
      ))}
      <span class="spacer" />
      {isCompacting && <span class="control-text" role="status">Compacting…</span>}
      {usage && <UsageMeter usage={usage} />}
      {can.compact && !isCompacting && (
        <button
          type="button"
          class="button is-quiet is-small"
          onClick={() => store.run({ kind: "compact" })}
        >
          Compact
        </button>
      )}
    </div>
  );
}

interface PickerProps {
  label: string;
  value: string;
  choices: { value: string; name: string }[];
  command: (value: string) => SessionCommand;
}

/** A native select: it shows the session's truth, and what was asked for only while that is on its way. */
function Picker({ label, value, choices, command }: PickerProps): JSX.Element | null {
  const { store } = useSession();
  const asked = useAsked(command(value));
  if (choices.length < 2) return null;
  return (
    <select
      class={`select is-small${asked.value === null ? "" : " is-busy"}`}
      aria-label={label}
      aria-busy={asked.value !== null}
      value={asked.value ?? value}
      onChange={(event) => store.run(command(event.currentTarget.value))}
    >
      {choices.some((choice) => choice.value === value) ? null : <option value={value}>{value}</option>}
      {choices.map((choice) => <option key={choice.value} value={choice.value}>{choice.name}</option>)}
    </select>
  );
}

/** The value of the latest command of this kind that has no final receipt. */
function useAsked(example: SessionCommand) {
  const { store } = useSession();
  return useComputed(() => {
    const item = store.outgoing.value.findLast(({ command, status }) =>
      (status === "sending" || status === "accepted") && command.kind === example.kind &&
      (command.kind !== "set_config_option" || example.kind !== "set_config_option" ||
        command.optionId === example.optionId)
    );
    switch (item?.command.kind) {
      case "set_model":
        return modelKey({ id: item.command.modelId, provider: item.command.provider ?? "" });
      case "set_mode":
        return item.command.modeId;
      case "set_thinking_level":
        return item.command.level;
      case "set_config_option":
        return item.command.value;
      default:
        return null;
    }
  });
}

const modelKey = ({ provider, id }: { provider: string; id: string }) => `${provider}\n${id}`;

function ModelPicker(
  props: { model: ModelInfo | null; models: readonly ModelInfo[] },
): JSX.Element {
  const { model, models } = props;
  const { store } = useSession();
  const asked = useAsked({ kind: "set_model", modelId: "" });
  const providers = [...new Set(models.map(({ provider }) => provider))];
  const current = asked.value ?? (model ? modelKey(model) : "");
  const options = (provider: string) =>
    models.filter((one) => one.provider === provider).map((one) => (
      <option key={modelKey(one)} value={modelKey(one)}>{one.name ?? one.id}</option>
    ));
  return (
    <select
      class={`select is-small${asked.value === null ? "" : " is-busy"}`}
      aria-label="Model"
      aria-busy={asked.value !== null}
      value={current}
      onChange={(event) => {
        const chosen = models.find((one) => modelKey(one) === event.currentTarget.value);
        if (chosen) {
          store.run({
            kind: "set_model",
            modelId: chosen.id,
            ...(chosen.provider ? { provider: chosen.provider } : {}),
          });
        }
      }}
    >
      {models.some((one) => modelKey(one) === current)
        ? null
        : <option value={current}>{model?.name ?? model?.id ?? "Model"}</option>}
      {providers.length === 1
        ? options(providers[0]!)
        : providers.map((provider) => (
          <optgroup key={provider} label={provider || "other"}>{options(provider)}</optgroup>
        ))}
    </select>
  );
}

/** A context fuller than this is worth a warning in words. */
const FULL_SHARE = 0.85;

function UsageMeter({ usage }: { usage: TokenUsage }): JSX.Element | null {
  const { contextTokens, contextSize, input, output, cost } = usage;
  const total = (input ?? 0) + (output ?? 0);
  const share = contextTokens !== undefined && contextSize ? Math.min(1, contextTokens / contextSize) : null;
  const details = [
    input !== undefined && `${compactCount(input)} in`,
    output !== undefined && `${compactCount(output)} out`,
    usage.cacheRead !== undefined && usage.cacheRead > 0 && `${compactCount(usage.cacheRead)} from cache`,
    cost && `${cost.amount.toFixed(2)} ${cost.currency}`,
  ].filter(Boolean).join(" · ");
  if (share === null && total === 0) return null;
  return (
    <span class="usage" title={details}>
      {share === null ? `${compactCount(total)} tokens` : (
        <>
          <meter min={0} max={1} high={FULL_SHARE} optimum={0} value={share} aria-label="Context used" />
          <span>
            {share >= FULL_SHARE && <span class="usage-words">Context nearly full:</span>}
            {compactCount(contextTokens!)} / {compactCount(contextSize!)}
          </span>
        </>
      )}
      {cost && cost.amount > 0 && <span class="usage-cost">{cost.amount.toFixed(2)} {cost.currency}</span>}
    </span>
  );
}
