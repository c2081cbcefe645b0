/** An ACP agent's model, mode and options: what is known of them, shown as meta, and changed for people. */
import type { MetaPatch } from "@/protocol/mod.ts";
import {
  type AcpConfig,
  emptyConfig,
  metaOfConfig,
  optionFor,
  optionsOf,
  readConfig,
  withMode,
  withOption,
} from "./acp_config.ts";
import { AgentRefusal } from "./agent.ts";
import type { JsonObject } from "./read.ts";

export interface AcpSettingsOptions {
  agentId: string;
  /** The agent's name in messages. */
  name: string;
  patchMeta(patch: MetaPatch): void;
  /** Sends a request for the current session; rejects with AgentRefusal. */
  ask(method: string, params: JsonObject): Promise<JsonObject>;
}

export class AcpSettings {
  readonly #options: AcpSettingsOptions;
  #config: AcpConfig = emptyConfig;

  constructor(options: AcpSettingsOptions) {
    this.#options = options;
  }

  /** Takes the reply to session/new, load or resume. */
  read(reply: JsonObject): void {
    this.#set(readConfig(this.#config, reply));
  }

  /** The agent changed its mode by itself. */
  modeChanged(modeId: string): void {
    this.#set(withMode(this.#config, modeId));
  }

  /** The agent sent its whole list of options anew. */
  optionsChanged(configOptions: unknown[]): void {
    this.#set({ ...this.#config, options: optionsOf(configOptions) });
  }

  /** Rejects with AgentRefusal, as all that follow. */
  async setModel(modelId: string): Promise<void> {
    const option = optionFor(this.#config, "model");
    if (option) return await this.setOption(option.id, modelId);
    const { models } = this.#config;
    const { name } = this.#options;
    if (!models) throw new AgentRefusal(`${name} lists no models to choose from`);
    if (!models.availableModels.some((model) => model.id === modelId)) {
      throw new AgentRefusal(`${name} has no model "${modelId}"`);
    }
    await this.#options.ask("session/set_model", { modelId });
    this.#set({ ...this.#config, models: { ...models, currentModelId: modelId } });
  }

  async setMode(modeId: string): Promise<void> {
    const option = optionFor(this.#config, "mode");
    if (option) return await this.setOption(option.id, modeId);
    if (!this.#config.modes?.availableModes.some((mode) => mode.id === modeId)) {
      throw new AgentRefusal(`${this.#options.name} has no mode "${modeId}"`);
    }
    await this.#options.ask("session/set_mode", { modeId });
    this.#set(withMode(this.#config, modeId));
  }

  async setThinkingLevel(level: string): Promise<void> {
    const option = optionFor(this.#config, "thought_level");
    if (!option) throw new AgentRefusal(`${this.#options.name} has no thinking levels`);
    await this.setOption(option.id, level);
  }

  async setOption(optionId: string, value: string): Promise<void> {
    const option = this.#config.options.find((candidate) => candidate.id === optionId);
    if (!option) throw new AgentRefusal(`${this.#options.name} has no option "${optionId}"`);
    if (!option.options.some((choice) => choice.value === value)) {
      throw new AgentRefusal(`"${value}" is not a value of ${option.name}`);
    }
    const reply = await this.#options.ask("session/set_config_option", { configId: optionId, value });
    // A change may change the other lists too, so the reply's list counts; droid answers without one.
    const isListed = Array.isArray(reply.configOptions) && reply.configOptions.length > 0;
    this.#set(isListed ? readConfig(this.#config, reply) : withOption(this.#config, optionId, value));
  }

  #set(config: AcpConfig): void {
    this.#config = config;
    this.#options.patchMeta(metaOfConfig(config, this.#options.agentId));
  }
}
