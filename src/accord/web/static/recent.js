/** The latest decisions, each to be opened and changed. */

import { inWords } from "./answers.js";
import { open as openDialog } from "./dialogs.js";
import { element, visible } from "./text.js";
import { gist } from "./view.js";

const dialog = () => document.getElementById("recent");

/** What is listed; a list that is there already is not made anew under the person's hands. */
let listed = "";

/**
 * Lists the decisions.
 * @param {import("./session.js").Decision[]} decisions  the newest first
 * @param {Set<string>} unsent  the questions of those that wait to be sent
 * @param {(decision: Object) => void} open
 */
export function list(decisions, unsent, open) {
  const now = JSON.stringify([decisions.map(({ item, ...said }) => [item.question, said]), [...unsent]]);
  if (now === listed) return;
  listed = now;
  const items = decisions.map((decision) => {
    const said = [inWords(decision.answer), visible(decision.reason), visible(decision.comment)].filter(Boolean);
    const button = element("button", { type: "button", class: "decision" }, [
      element("span", { class: "gist", dir: "auto", text: gist(decision.item) }),
      element("span", { class: "verdict", dir: "auto", text: said.join(" · ") }),
    ]);
    if (unsent.has(decision.item.question)) button.append(element("span", { class: "hint", text: "Waiting to be sent" }));
    button.addEventListener("click", () => {
      dialog().close();
      open(decision);
    });
    return element("li", {}, [button]);
  });
  dialog().querySelector("ol").replaceChildren(...items);
  dialog().querySelector(".none").hidden = items.length > 0;
}

export function openList() {
  openDialog(dialog());
}
