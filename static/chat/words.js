/* The page's words, in the language that the server chose. Missing words are English. */

import { en } from "./i18n/en.js";
import { zhHans } from "./i18n/zh-hans.js";

const UNITS = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]]; // and their seconds

export class Words {
  #words;
  #language;

  constructor(language) {
    this.#language = language;
    this.#words = language.toLowerCase().startsWith("zh") ? { ...en, ...zhHans } : en;
  }

  /** `{name}` in the words is replaced by `values.name`. */
  say(name, values = {}) {
    const words = this.#words[name] ?? name;
    return words.replace(/\{(\w+)\}/g, (whole, value) => values[value] ?? whole);
  }

  /** `3 minutes`: in the largest unit that is at least one. */
  duration(seconds) {
    const [unit, length] = UNITS.find(([, length]) => seconds >= length) ?? UNITS.at(-1);
    const format = new Intl.NumberFormat(this.#language, { style: "unit", unit, unitDisplay: "long" });
    return format.format(Math.max(1, Math.floor(seconds / length)));
  }

  /** What went wrong, by its code; what the server said when the code is not known. `begun`: some of the answer had
   * come, which is kept. */
  error({ code, error, details }, { begun = false } = {}) {
    const known = (name) => this.#words[`error.${name}`];
    if (details && "queue" in details) return known("QUEUE_FULL");
    if (details?.timeout === "queue") return known("QUEUE_SLOW");
    return (begun && known(`${code}.begun`)) || known(code) || error || known("unknown");
  }
}
