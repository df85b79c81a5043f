/** A question on the screen. */

import { letter } from "./answers.js";
import { element, excerpt, message } from "./text.js";

const ROLES = { user: "Person", assistant: "Assistant", system: "Instructions", tool: "Tool" };
/** Pixels of a question's text that are shown before the rest is folded. */
const LONG = 300;

/** What a person is asked about in a conversation: from their last message on. @returns {[Array, Array]} */
function parted(turns) {
  const last = turns.findLastIndex((turn) => turn.role === "user");
  const from = last < 0 ? turns.length - 1 : last;
  return [turns.slice(0, from), turns.slice(from)];
}

/** A few words that tell the question from others. */
export function gist(item, length) {
  const [, asked] = parted(item.prompt);
  return excerpt(asked[0]?.text ?? "", length) || "(an empty question)";
}

/** What stands on the screen of a question: the conversation that led to it, the question, and the responses. */
export function question(item) {
  const [earlier, asked] = parted(item.prompt);
  const parts = [];
  if (earlier.length) parts.push(folded(earlier));
  parts.push(element("div", { class: "ask" }, asked.map((turn) => said(turn, asked.length > 1))));
  parts.push(element("div", { class: `responses ${item.form}` }, item.responses.map((turns, n) => response(item, turns, n))));
  return parts;
}

function folded(turns) {
  const words = turns.length === 1 ? "1 earlier message" : `${turns.length} earlier messages`;
  const list = turns.map((turn) => said(turn, true));
  return element("details", { class: "earlier" }, [element("summary", { text: words }), ...list]);
}

function said(turn, named) {
  if (!named || !turn.role) return message(turn);
  return element("div", { class: "turn" }, [
    element("p", { class: "role", text: ROLES[turn.role] ?? turn.role }),
    message(turn),
  ]);
}

function response(item, turns, place) {
  const alone = item.form === "thumb";
  const name = alone ? "Answer" : letter(place);
  const head = element("h3", { id: `head-${place}`, class: "head", tabindex: "-1" }, [
    element("span", { class: alone ? "" : "letter", text: name }),
  ]);
  if (!alone) head.firstChild.before(element("span", { class: "visually-hidden", text: "Answer " }));
  const body = turns.map((turn) => said(turn, turns.length > 1));
  const made = element("section", { class: "response", "aria-labelledby": head.id, "data-place": place });
  made.append(element("div", { class: "top" }, [head]), ...body);
  return made;
}

/** Folds a question that is long, so that the answers are in sight; one button unfolds it. */
export function foldLong(stage) {
  const ask = stage.querySelector(".ask");
  if (ask.scrollHeight < 1.4 * LONG) return;
  const button = element("button", { type: "button", class: "quiet unfold", text: "Show the whole question" });
  button.setAttribute("aria-expanded", "false");
  ask.classList.add("folded");
  button.addEventListener("click", () => {
    const folded = ask.classList.toggle("folded");
    button.textContent = folded ? "Show the whole question" : "Show less of it";
    button.setAttribute("aria-expanded", String(!folded));
  });
  ask.after(button);
}
