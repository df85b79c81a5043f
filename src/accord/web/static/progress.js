/** How far the person and the campaign have come. */

const byId = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en");

export class Progress {
  /** @param {number} mine  how many questions the person has answered */
  constructor(mine) {
    this.mine = mine;
    this.bar = byId("progress");
    this.open = byId("vote").dataset.open === "true";
    this.#draw();
  }

  /** The person has answered one more, or one less. */
  add(count) {
    this.mine += count;
    this.bar.value += count;
    this.#draw();
  }

  /** What the server says, and how many answers it does not know of. */
  set({ mine, answers, wanted, open }, unsent) {
    this.mine = mine + unsent;
    this.bar.max = Math.max(1, wanted);
    this.bar.value = answers + unsent;
    this.open = open;
    this.#draw();
  }

  #draw() {
    const { value, max } = this.bar;
    byId("count").textContent = `${number(this.mine)} yours · ${number(value)} of ${number(max)} in all`;
    const answered = `You have answered ${number(this.mine)} ${this.mine === 1 ? "question" : "questions"}.`;
    byId("end-count").textContent = `${answered} The campaign has ${number(value)} of the ${number(max)} answers it needs.`;
    byId("end-title").textContent = this.open ? "You have answered everything that is open for you" : "This campaign is closed";
  }
}
