/** The controls of a ranking: a choice of places at each answer, and the order so far as a row that can be dragged. */

import { letter } from "./answers.js";
import { element } from "./text.js";

/** The part of a neighbour's width, around its middle, on which a dragged answer is level with it. */
const LEVEL = 0.4;

export class Order {
  /**
   * @param {import("./ranking.js").Ranking} ranking
   * @param {HTMLElement} stage  where the question stands
   * @param {HTMLElement} row    where the order so far is shown
   * @param {() => void} changed
   */
  constructor(ranking, stage, row, changed) {
    Object.assign(this, { ranking, stage, row, changed });
    for (const response of stage.querySelectorAll(".response")) this.#places(response);
    stage.addEventListener("focusin", (event) => {
      const response = event.target.closest(".response");
      if (response) this.activate(Number(response.dataset.place));
    });
    this.draw();
  }

  /** Keys act on this answer from now on. */
  activate(answer) {
    if (this.ranking.active === answer) return;
    this.ranking.active = answer;
    this.#mark();
  }

  /** Changes the ranking, and shows it. @param {(ranking: import("./ranking.js").Ranking) => void} change */
  do(change) {
    const before = this.ranking.active;
    change(this.ranking);
    this.draw();
    this.changed(this.#told(before));
  }

  draw() {
    const { ranking } = this;
    for (const response of this.stage.querySelectorAll(".response")) {
      const place = ranking.places[Number(response.dataset.place)];
      for (const radio of response.querySelectorAll("input")) radio.checked = Number(radio.value) === place;
    }
    const focused = this.row.contains(document.activeElement) ? document.activeElement.dataset.answer : null;
    const groups = ranking.groups.map((group, n) => this.#group(`${n + 1}`, `place ${n + 1}`, group));
    if (ranking.open.length) groups.push(this.#group("no place yet", "no place yet", ranking.open));
    this.row.replaceChildren(...groups);
    this.#mark();
    if (focused !== null) this.row.querySelector(`[data-answer="${focused}"]`)?.focus();
  }

  #mark() {
    const { active } = this.ranking;
    for (const response of this.stage.querySelectorAll(".response")) {
      response.classList.toggle("active", Number(response.dataset.place) === active);
    }
    for (const chip of this.row.querySelectorAll(".chip")) {
      chip.setAttribute("aria-pressed", String(Number(chip.dataset.answer) === active));
    }
  }

  #told(answer) {
    const group = this.ranking.groups.findIndex((one) => one.includes(answer));
    if (group < 0) return "";
    const level = this.ranking.groups[group].filter((other) => other !== answer).map(letter);
    return `${letter(answer)}: place ${group + 1}${level.length ? `, level with ${level.join(", ")}` : ""}`;
  }

  #places(response) {
    const answer = Number(response.dataset.place);
    const choice = element("fieldset", { class: "places" }, [
      element("legend", { class: "visually-hidden", text: `Place of answer ${letter(answer)}` }),
    ]);
    for (let place = 1; place <= this.ranking.count; place += 1) {
      const radio = element("input", { type: "radio", name: `place-${answer}`, value: place });
      radio.addEventListener("change", () => {
        this.activate(answer);
        this.do((ranking) => ranking.put(answer, place));
      });
      choice.append(element("label", {}, [radio, element("span", { text: place })]));
    }
    response.querySelector(".top").append(choice);
  }

  #group(sign, name, answers) {
    const chips = answers.map((answer) => this.#chip(answer, name));
    return element("li", {}, [element("span", { "aria-hidden": "true", text: sign }), ...chips]);
  }

  #chip(answer, name) {
    const chip = element("button", { type: "button", class: "chip", "data-answer": answer, text: letter(answer) });
    chip.setAttribute("aria-label", `Answer ${letter(answer)}, ${name}`);
    chip.addEventListener("focus", () => this.activate(answer));
    chip.addEventListener("pointerdown", (event) => this.#drag(event, answer));
    return chip;
  }

  /** Follows the pointer until it lets go; then the answer stands where it was let go. */
  #drag(event, answer) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.activate(answer);
    const chip = this.row.querySelector(`[data-answer="${answer}"]`);
    chip.focus();
    const from = event.clientX;
    const move = (moved) => {
      chip.style.transform = `translateX(${moved.clientX - from}px)`;
      chip.classList.add("dragged");
    };
    const end = (ended) => {
      for (const kind of ["pointermove", "pointerup", "pointercancel"]) window.removeEventListener(kind, follow[kind]);
      chip.style.transform = "";
      chip.classList.remove("dragged");
      const target = ended.type === "pointerup" ? this.#under(ended.clientX, ended.clientY, answer) : null;
      if (target) this.do((ranking) => ranking.drop(answer, ...target));
    };
    const follow = { pointermove: move, pointerup: end, pointercancel: end };
    for (const kind of Object.keys(follow)) window.addEventListener(kind, follow[kind]);
  }

  /** The other answer nearest to a point, and on which side of it the point lies; null where it is its own place. */
  #under(x, y, answer) {
    const chips = [...this.row.querySelectorAll(".chip")].map((chip) => ({
      answer: Number(chip.dataset.answer),
      box: chip.getBoundingClientRect(),
    }));
    const distance = ({ box }) => Math.hypot(x - (box.left + box.right) / 2, y - (box.top + box.bottom) / 2);
    const nearest = chips.reduce((best, chip) => (distance(chip) < distance(best) ? chip : best));
    if (nearest.answer === answer) return null;
    const { left, width } = nearest.box;
    const off = (x - left) / width - 0.5;
    return [nearest.answer, Math.abs(off) < LEVEL / 2 ? 0 : Math.sign(off)];
  }
}
