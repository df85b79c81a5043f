/** What the person does with the question before them. */

import { ANSWERS, inWords } from "./answers.js";
import * as dialogs from "./dialogs.js";
import * as notes from "./notes.js";

const byId = (id) => document.getElementById(id);

/** Shows one of the page's screens. */
export function screen(name) {
  for (const part of document.querySelectorAll("main [data-screen]")) part.hidden = part.dataset.screen !== name;
  document.body.dataset.screen = name;
}

/** The name of the screen that is shown. */
export const onScreen = () => document.body.dataset.screen;

/** Brings a part of the question into sight, and the focus with it. */
function toHead(id) {
  const head = byId(id);
  head?.scrollIntoView({ block: "start" });
  head?.focus({ preventScroll: true });
}

export class Desk {
  /**
   * @param {Object} parts
   * @param {import("./session.js").Session} parts.session
   * @param {import("./stage.js").Stage} parts.stage
   * @param {import("./progress.js").Progress} parts.progress
   * @param {import("./guideline.js").Guideline} parts.guideline
   * @param {(words: string) => void} parts.say  to be read aloud
   * @param {() => void} parts.said              something waits to be sent
   * @param {() => void} parts.shown             another question is on the screen, or none
   */
  constructor(parts) {
    Object.assign(this, parts);
    /** When the question came on the screen. */
    this.since = 0;
    const answers = Object.entries(ANSWERS).map(([name, answer]) => [name, () => this.#decide(answer)]);
    const places = [1, 2, 3, 4, 5, 6, 7, 8, 9].map((place) => [`place${place}`, () => this.#rank("put", place)]);
    /** What can be done about a question. @type {Object<string, (how: string) => void>} */
    this.acts = {
      ...Object.fromEntries([...answers, ...places]),
      better: () => this.#rank("better"),
      worse: () => this.#rank("worse"),
      onward: () => this.#rank("onward"),
      save: () => this.#save(),
      skip: () => this.#skip(),
      flag: () => dialogs.askFlag((reason, comment) => this.#flag(reason, comment)),
      comment: (how) => (how === "key" ? notes.open() : notes.toggle()),
      question: () => toHead("stage-title"),
      toA: () => toHead("head-0"),
      toB: () => toHead("head-1"),
      keep: () => this.#keep(),
    };
  }

  /** Milliseconds since the question came on the screen. */
  get age() {
    return performance.now() - this.since;
  }

  /** Shows the question that is next, or that there is none. */
  show() {
    const { session, stage } = this;
    const item = session.current;
    if (item) {
      screen("question");
      const title = session.changing ? "Your earlier answer" : `Question ${(this.progress.mine + 1).toLocaleString("en")}`;
      if (stage.item !== item) this.since = performance.now();
      stage.show(item, session.changing, title);
    } else {
      stage.clear();
      screen(session.ended ? "end" : "waiting");
    }
    this.shown();
  }

  /** Shows an earlier decision, for another answer. */
  change(decision) {
    this.session.change(decision);
    this.#after();
  }

  /** Shows the question of something that was not taken, for another try. @param {import("./queue.js").Entry} entry */
  reopen({ body, item }) {
    if (body.supersedes) this.session.change({ ...body, item, vote: body.supersedes, reason: "" });
    else this.session.reopen(item);
    this.stage.restore({ ...body, item });
    this.#after();
  }

  /** Takes back the last decision; while one is being changed, leaves that as it was. */
  undo() {
    if (this.session.changing) {
      this.#keep();
      return;
    }
    const last = this.session.undo();
    if (last === undefined) {
      this.say("There is nothing to undo.");
      return;
    }
    if (last.answer) this.progress.add(-1);
    this.stage.restore(last);
    this.say(`Taken back: ${inWords(last.answer)}`);
    byId("last").textContent = "";
    this.#after();
  }

  /** Escape was pressed. */
  escape() {
    if (notes.writing()) {
      notes.leave();
      toHead("stage-title");
    } else if (this.session.changing) this.#keep();
  }

  #decide(answer) {
    const first = !this.session.changing?.answer;
    const decision = this.session.decide(answer, { ...this.stage.takeNotes(), guideline: this.guideline.version });
    if (first) this.progress.add(1);
    this.#done(decision);
  }

  #skip() {
    if (this.session.changing) return;
    dialogs.askSkip((reason) => {
      this.stage.takeNotes();
      this.#done(this.session.skip(reason));
    });
  }

  #flag(reason, comment) {
    this.session.flag(reason, comment);
    byId("flagged").hidden = false;
    this.said();
  }

  #rank(step, place) {
    this.stage.order.do((ranking) => ranking[step](ranking.active, place));
  }

  #save() {
    const { ranking } = this.stage.order;
    if (ranking.complete) this.#decide({ ranking: ranking.groups });
    else this.say("Some answers have no place yet.");
  }

  #keep() {
    this.session.keep();
    this.#after();
  }

  #done(decision) {
    const words = inWords(decision.answer);
    this.say(words);
    byId("last").textContent = words;
    this.#after();
  }

  #after() {
    byId("flagged").hidden = true;
    this.show();
    this.said();
  }
}
