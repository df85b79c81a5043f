/** How answers are drawn: what a person set, kept by the browser. */

import { open } from "./dialogs.js";
import { Kept } from "./kept.js";

const byId = (id) => document.getElementById(id);
const FIELDS = { temperature: "temperature", max_new_tokens: "tokens" };

export class Settings {
  /** @param {string} user */
  constructor(user) {
    this.kept = new Kept(`accord/arena/${user}/`);
    for (const [name, id] of Object.entries(FIELDS)) {
      const field = byId(id);
      field.value = this.kept.get(name) ?? field.defaultValue;
      if (!field.validity.valid) field.value = field.defaultValue;
      field.addEventListener("input", () => field.validity.valid && this.kept.set(name, field.value));
    }
    byId("settings-reset").addEventListener("click", () => this.#reset());
    byId("settings").addEventListener("close", () => this.#mend());
  }

  open() {
    open(byId("settings"));
  }

  /** As the API takes them. @returns {{temperature: number, max_new_tokens: number}} */
  get values() {
    return Object.fromEntries(Object.entries(FIELDS).map(([name, id]) => [name, byId(id).valueAsNumber]));
  }

  #reset() {
    for (const [name, id] of Object.entries(FIELDS)) {
      byId(id).value = byId(id).defaultValue;
      this.kept.remove(name);
    }
  }

  /** What was left in the dialog and is none is as it was. */
  #mend() {
    for (const [name, id] of Object.entries(FIELDS)) {
      const field = byId(id);
      if (!field.validity.valid) field.value = this.kept.get(name) ?? field.defaultValue;
    }
  }
}
