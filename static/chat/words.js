/* The page's words, in the language that the server chose. Missing words are English. */

import { en } from "./i18n/en.js";
import { zhHans } from "./i18n/zh-hans.js";

export class Words {
  #words;

  constructor(language) {
    this.#words = language.toLowerCase().startsWith("zh") ? { ...en, ...zhHans } : en;
  }

  /** `{name}` in the words is replaced by `values.name`. */
  say(name, values = {}) {
    const words = this.#words[name] ?? name;
    return words.replace(/\{(\w+)\}/g, (whole, value) => values[value] ?? whole);
  }

  /** What went wrong, by its code; what the server said when the code is not known. */
  error({ code, error }) {
    return this.#words[`error.${code}`] ?? (error || this.#words["error.unknown"]);
  }
}
