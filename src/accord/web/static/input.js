/** What the person does with keys and pointers, as names of actions. */

import { ANSWERS } from "./answers.js";
import { covered, typing } from "./dialogs.js";
import { shown } from "./keys.js";

/** Milliseconds after a question has come up within which a click is the second of a double click. */
const TWICE = 250;

/** Shows on every button which key does the same. @param {import("./keys.js").Keys} keys */
export function printKeys(keys) {
  for (const button of document.querySelectorAll("[data-do]")) {
    if (!(button.dataset.do in keys.available)) continue;
    const own = keys.of(button.dataset.do);
    const label = button.querySelector("kbd");
    if (label) label.textContent = shown(own[0]);
    button.setAttribute("aria-keyshortcuts", own.map((key) => (key.length === 1 ? key.toUpperCase() : key)).join(" "));
  }
}

/**
 * Calls `act` for every key and every button that is pressed.
 * @param {Object} to
 * @param {import("./keys.js").Keys} to.keys
 * @param {(name: string, how: "key" | "button") => void} to.act
 * @param {() => void} to.escape
 * @param {() => number} to.age  how many milliseconds the question is on the screen
 */
export function listen({ keys, act, escape, age }) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.repeat || covered()) return;
    if (event.key === "Escape") escape();
    if (typing(event.target)) return;
    const name = keys.action(event);
    if (!name || hasUse(event)) return;
    event.preventDefault();
    flash(name);
    act(name, "key");
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (!button || button.disabled) return;
    const name = button.dataset.do;
    const pointer = event.detail > 0;
    if (name in ANSWERS && pointer && (event.detail > 1 || age() < TWICE)) return;
    act(name, "button");
  });
}

/** Whether what has the focus has a use for the key itself. */
function hasUse({ key, target }) {
  if (key === "Enter") return target.closest("button, a, summary, input") !== null;
  return key.startsWith("Arrow") && target.closest("input[type=radio], .frame, [data-scrolls]") !== null;
}

/** The button of a key that was pressed lights up, for those who do not look at their hands. */
function flash(name) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  document.querySelector(`.choices [data-do="${name}"]`)?.animate({ filter: ["brightness(.85)", "none"] }, 250);
}
