/** The dialog that shows all keys and lets a person choose others. */

import { open as openDialog } from "./dialogs.js";
import { shown } from "./keys.js";
import { element } from "./text.js";

export class Help {
  /** @param {import("./keys.js").Keys} keys  @param {() => void} changed */
  constructor(keys, changed) {
    Object.assign(this, { keys, changed });
    this.dialog = document.getElementById("help");
    this.problem = document.getElementById("help-problem");
    this.asking = null;
    this.dialog.addEventListener("keydown", (event) => this.#press(event));
    this.dialog.addEventListener("close", () => (this.asking = null));
    document.getElementById("keys-reset").addEventListener("click", () => {
      this.keys.reset();
      this.#say("The keys are as they were at the start.");
      this.#draw();
    });
  }

  open() {
    this.#say("");
    this.#draw();
    openDialog(this.dialog);
  }

  #draw() {
    const rows = Object.entries(this.keys.available).map(([action, [what]]) => {
      const button = element("button", { type: "button", "data-action": action });
      const keys = this.keys.of(action).map((key) => element("kbd", { text: shown(key) }));
      button.append(...(action === this.asking ? [element("em", { text: "Press a key …" })] : keys));
      button.setAttribute("aria-label", `${what}: ${this.keys.of(action).map(shown).join(" or ")}. Change`);
      button.addEventListener("click", () => this.#ask(action));
      return element("tr", {}, [element("th", { scope: "row", text: what }), element("td", {}, [button])]);
    });
    const focused = document.activeElement?.dataset?.action;
    this.dialog.querySelector("tbody").replaceChildren(...rows);
    if (focused) this.dialog.querySelector(`[data-action="${focused}"]`)?.focus();
    this.changed();
  }

  #ask(action) {
    this.asking = action;
    this.#say("Press the new key. Escape leaves it as it was.");
    this.#draw();
  }

  #press(event) {
    if (this.asking === null || event.repeat || event.key === "Tab") return;
    if (["Shift", "Control", "Alt", "AltGraph", "Meta"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    const problem = event.key === "Escape" ? "It stays as it was." : this.keys.change(this.asking, event);
    this.#say(problem || "Changed.");
    if (!problem || event.key === "Escape") this.asking = null;
    this.#draw();
  }

  #say(words) {
    this.problem.textContent = words;
  }
}
