/** The question on the screen with all that belongs to it, and what the person has begun to say about others. */

import { nameOf } from "./answers.js";
import * as notes from "./notes.js";
import { Order } from "./order.js";
import { Ranking } from "./ranking.js";
import { foldLong, gist, question } from "./view.js";

const byId = (id) => document.getElementById(id);

export class Stage {
  /** @param {import("./dwell.js").Dwell} dwell  @param {(words: string) => void} say  to be read aloud */
  constructor(dwell, say) {
    Object.assign(this, { dwell, say });
    this.place = byId("stage-content");
    /** What is drawn. */
    this.item = null;
    this.changing = null;
    /** @type {Order | null} */
    this.order = null;
    /** What was begun, by question. */
    this.drafts = new Map();
    new IntersectionObserver(([entry]) => {
      byId("stage").classList.toggle("scrolled", !entry.isIntersecting && entry.boundingClientRect.top < 0);
    }).observe(byId("stage-top"));
  }

  /** Shows a question, unless it is there already. @param {string} title */
  show(item, changing, title) {
    if (item === this.item && changing === this.changing) return;
    this.#keepDraft();
    Object.assign(this, { item, changing, order: null });
    byId("stage-title").textContent = title;
    byId("stage-gist").textContent = gist(item);
    byId("change").hidden = changing === null;
    byId("skip-it").hidden = changing !== null;
    this.place.replaceChildren(...question(item));
    foldLong(this.place);
    const draft = this.drafts.get(item.question) ?? changing ?? {};
    notes.write(draft);
    if (item.form === "ranking") this.#rank(draft.answer?.ranking);
    this.#mark(changing?.answer);
    this.#toTop();
    this.dwell.on(item.question);
  }

  /** No question is on the screen. */
  clear() {
    this.#keepDraft();
    this.item = null;
    this.dwell.on(null);
  }

  /** What goes with the answer that is given now. */
  takeNotes() {
    const seconds = this.dwell.take(this.item.question);
    const taken = { ...notes.read(), seconds };
    this.drafts.delete(this.item.question);
    this.item = null; // so that its draft is not kept
    return taken;
  }

  /** What a person had said of a question is there again when it is shown. */
  restore(decision) {
    this.drafts.set(decision.item.question, decision);
  }

  #keepDraft() {
    if (!this.item || this.changing) return;
    this.drafts.set(this.item.question, { ...notes.read(), answer: { ranking: this.order?.ranking.groups } });
  }

  #rank(groups) {
    const ranking = new Ranking(this.item.responses.length, groups);
    const drawn = (words) => {
      byId("save").disabled = !ranking.complete;
      if (words) this.say(words);
    };
    this.order = new Order(ranking, this.place, byId("order"), drawn);
    drawn("");
  }

  /** Marks the answer that stands. */
  #mark(answer) {
    const name = answer ? nameOf(answer) : undefined;
    for (const button of document.querySelectorAll(".choices [data-do]")) {
      if (button.dataset.do === name) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
  }

  #toTop() {
    const top = byId("stage").getBoundingClientRect().top;
    if (top < 0) window.scrollBy({ top, behavior: "instant" });
    byId("stage-title").focus({ preventScroll: true });
  }
}
