/** What the server would not take: shown until the person has decided about it. */

import { inWords } from "./answers.js";
import { element, visible } from "./text.js";
import { gist } from "./view.js";

/** What to say and what to do, by the server's status; else what it said, and to try again. */
const CASES = {
  404: ["the question is not here any more, or was not given to you.", null],
  409: [
    "you have answered this question on another page since, and that answer stands. It is among your last decisions, where you can change it.",
    "recent",
  ],
  400: [null, "anew"],
  413: [null, "anew"],
  422: [null, "anew"],
};
const LABELS = { again: "Try again", anew: "Answer it again", recent: "Show my last decisions" };

function what({ kind, body }) {
  return {
    vote: () => `Your answer “${inWords(body.answer)}”`,
    skip: () => "Your skip",
    undo: () => "Your undo",
    flag: () => `Your flag “${visible(body.reason)}”`,
  }[kind]();
}

/**
 * Shows what was set aside.
 * @param {import("./queue.js").Queue} queue
 * @param {{again: Act, anew: Act, recent: Act, forget: Act}} acts  what the person may do about an entry
 * @typedef {(entry: import("./queue.js").Entry) => void} Act
 */
export function draw(queue, acts) {
  const place = document.getElementById("asides");
  const entries = queue.asides();
  place.hidden = entries.length === 0;
  place.querySelector("ul").replaceChildren(...entries.map((entry) => aside(entry, acts)));
}

function aside(entry, acts) {
  const [known, remedy] = CASES[entry.status] ?? [null, "again"];
  const why = known ?? `the server says: ${visible(entry.why)}.`;
  const words = `${what(entry)} to “${gist(entry.item, 60)}” was not taken: ${why}`;
  const button = (text, act) => {
    const made = element("button", { type: "button", text });
    made.addEventListener("click", () => act(entry));
    return made;
  };
  return element("li", {}, [
    element("p", { text: words, dir: "auto" }),
    element("p", { class: "row" }, [
      ...(remedy ? [button(LABELS[remedy], acts[remedy])] : []),
      button("Let it go", acts.forget),
    ]),
  ]);
}
