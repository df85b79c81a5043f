/** The conversation on the screen. Whatever people and models say is put there as text. */

import { inWords } from "./answers.js";
import { element, visible } from "./text.js";

const byId = (id) => document.getElementById(id);
const SIDES = { left: "A", right: "B" };

/** Shows what stands in the bar. @param {"compose" | "answering" | "choose"} name */
export function screen(name) {
  for (const part of document.querySelectorAll(".choices > [data-screen]")) part.hidden = part.dataset.screen !== name;
  document.body.dataset.screen = name;
}

export const onScreen = () => document.body.dataset.screen;

/** What was said and decided about, from the beginning. @param {{role: string, text: string}[]} messages */
export function conversation(messages) {
  byId("kept").replaceChildren();
  for (let n = 0; n + 1 < messages.length; n += 2) keep(messages[n].text, messages[n + 1].text, "It went on from this answer");
  byId("welcome").hidden = messages.length > 0;
}

/** Adds a message and the answer that the conversation goes on from. */
export function keep(message, answer, words) {
  const reply = element("div", { class: "reply", tabindex: "-1" }, [element("p", { class: "aside", text: words }), text(answer)]);
  const mine = element("div", { class: "mine text", dir: "auto", text: visible(message) });
  byId("kept").append(element("li", {}, [element("p", { class: "visually-hidden", text: "You" }), mine, reply]));
  return reply;
}

function text(words) {
  const made = element("div", { class: "text", dir: "auto" });
  fill(made, words);
  return made;
}

function fill(place, words) {
  const shown = words.trim();
  place.textContent = visible(shown) || "It says nothing.";
  place.classList.toggle("none", shown === "");
}

/** What a verdict means for the conversation. */
export function verdict(choice) {
  const words = inWords({ choice, strength: null });
  return choice === "left" || choice === "right" ? words : `${words}: it goes on from A`;
}

/** The message that both answer, and their answers as they come. */
export class Round {
  constructor() {
    this.place = byId("round");
    this.state = byId("round-state");
    this.answers = { left: "", right: "" };
  }

  /** Both are asked. @param {string} message  @param {number} number  of the message in the conversation */
  begin(message, number) {
    this.message = message;
    this.answers = { left: "", right: "" };
    byId("welcome").hidden = true;
    byId("round-message").textContent = visible(message);
    byId("round-title").textContent = `Message ${number}`;
    for (const side of Object.keys(SIDES)) {
      this.#part(side, ".text").replaceChildren(document.createTextNode(""));
      this.#part(side, ".text").classList.remove("none");
      this.#note(side, "");
      this.#busy(side, true);
    }
    this.place.hidden = false;
    byId("sides").scrollTo({ left: 0, behavior: "instant" });
    this.say("");
  }

  /** The next words of one side. */
  piece(side, words) {
    this.answers[side] += words;
    this.#part(side, ".text").firstChild.appendData(visible(words));
  }

  /** One side has ended its answer. */
  end(side, finished) {
    fill(this.#part(side, ".text"), this.answers[side]);
    this.#note(side, finished ? "" : "cut: it reached the length");
    this.#busy(side, false);
  }

  /** Nothing more comes; `stopped` before both had ended. */
  done(stopped) {
    for (const side of Object.keys(SIDES)) {
      if (!this.#side(side).classList.contains("busy")) continue;
      this.end(side, true);
      if (stopped) this.#note(side, "stopped");
    }
  }

  /** Whether both say the same. */
  get alike() {
    return this.answers.left.trim() === this.answers.right.trim();
  }

  /** Shows a round as the server has it. */
  restore(round, number) {
    this.begin(round.message, number);
    for (const side of Object.keys(SIDES)) {
      this.answers[side] = round[side].text;
      this.end(side, round[side].finished || round.stopped);
    }
  }

  hide() {
    this.place.hidden = true;
  }

  /** One line on how it goes, to be read aloud as well. */
  say(words) {
    if (this.state.textContent !== words) this.state.textContent = words;
  }

  /** Brings the message to the top of the window, and the focus to it. */
  toTop() {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.place.scrollIntoView({ block: "start", behavior: calm ? "instant" : "smooth" });
    byId("round-title").focus({ preventScroll: true });
  }

  /** Brings one side into sight. */
  show(side) {
    this.#side(side).scrollIntoView({ block: "nearest", inline: "start" });
    byId(`head-${side}`).focus({ preventScroll: true });
  }

  #side(side) {
    return byId(`side-${side}`);
  }

  #part(side, selector) {
    return this.#side(side).querySelector(selector);
  }

  #note(side, words) {
    this.#part(side, ".note").textContent = words;
  }

  #busy(side, busy) {
    this.#side(side).classList.toggle("busy", busy);
    this.#side(side).setAttribute("aria-busy", String(busy));
  }
}
