/* The models that can be chosen, and how the upstream of each is spoken to. */

export class ModelMenu {
  #select = document.getElementById("model-menu");
  #badge = document.getElementById("model-upstream");
  #words;
  #preferences;
  #onChange;
  #providers = [];

  constructor({ words, preferences, onChange }) {
    this.#words = words;
    this.#preferences = preferences;
    this.#onChange = onChange;
    this.#select.addEventListener("change", () => {
      preferences.set("model", this.#select.value);
      this.#showBadge();
      onChange();
    });
  }

  /** The API's list of providers. */
  fill(providers) {
    this.#providers = providers;
    const options = providers.flatMap((provider) => provider.models.map((model) => this.#option(provider, model)));
    this.#select.replaceChildren(...options);
    this.#select.disabled = options.length === 0;
    if (!options.length) this.#select.append(new Option(this.#words.say("models.none"), ""));
    const remembered = this.#preferences.get("model");
    if (!this.#pick(remembered)) this.#pick(options.find((option) => !option.disabled)?.value);
    this.#showBadge();
    this.#onChange();
  }

  /** What a conversation was led with last, when it can be chosen still. */
  prefer({ provider, model }) {
    if (this.#pick(`${provider}/${model}`)) this.#showBadge();
    this.#onChange();
  }

  /** {provider, model}; empty when there is nothing to choose. */
  get choice() {
    const { provider, model } = this.#select.selectedOptions[0]?.dataset ?? {};
    return provider ? { provider, model } : {};
  }

  get upstream() {
    return this.#providers.find(({ id }) => id === this.choice.provider)?.upstream ?? null;
  }

  /** A model's name for people. */
  name(providerId, modelId) {
    const provider = this.#providers.find(({ id }) => id === providerId);
    const model = provider?.models.find(({ id }) => id === modelId);
    if (!provider || !model) return modelId;
    return nameOf(provider, model);
  }

  /** A provider's name for people. */
  provider(providerId) {
    return this.#providers.find(({ id }) => id === providerId)?.label ?? providerId;
  }

  #option(provider, model) {
    const upstream = this.#words.say(`upstream.${provider.upstream}`);
    const state = provider.state === "ready" ? "" : ` (${this.#words.say(`model.${provider.state}`)})`;
    const option = new Option(`${nameOf(provider, model)} · ${upstream}${state}`, `${provider.id}/${model.id}`);
    option.disabled = provider.state === "off";
    Object.assign(option.dataset, { provider: provider.id, model: model.id, upstream: provider.upstream });
    return option;
  }

  #pick(value) {
    const option = [...this.#select.options].find((candidate) => candidate.value === value && !candidate.disabled);
    if (option) option.selected = true;
    return Boolean(option);
  }

  #showBadge() {
    this.#badge.textContent = this.upstream ? this.#words.say(`upstream.${this.upstream}`) : "";
    this.#badge.hidden = !this.upstream;
  }
}

/* Of an only model, the provider's name says enough, unless somebody has given it one of its own. */
export const nameOf = (provider, model) =>
  provider.models.length > 1 || model.label !== model.id ? `${provider.label} — ${model.label}` : provider.label;
