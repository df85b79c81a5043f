/**
 * A ranking in the making: which answers stand in which place, equals together, and which have none yet.
 * Answers are numbers, by where they stand on the page; nothing here touches the document.
 */

export class Ranking {
  /** @param {number} count  how many are ranked  @param {number[][]} [groups]  as they stood before, best first */
  constructor(count, groups = []) {
    this.count = count;
    /** The place of each answer, from 1; null: none yet. @type {(number | null)[]} */
    this.places = Array(count).fill(null);
    this.#write(groups);
    /** The answer that keys act on. */
    this.active = 0;
  }

  /** Best first, equals together; those without a place are left out. @returns {number[][]} */
  get groups() {
    const used = [...new Set(this.places.filter((place) => place !== null))].sort((a, b) => a - b);
    return used.map((place) => this.#all().filter((answer) => this.places[answer] === place));
  }

  /** Those without a place. @returns {number[]} */
  get open() {
    return this.#all().filter((answer) => this.places[answer] === null);
  }

  get complete() {
    return this.open.length === 0;
  }

  /** Puts an answer in a place; then the next without one is active. */
  put(answer, place) {
    if (place > this.count) return;
    this.places[answer] = place;
    const [next = answer] = [...this.open.filter((other) => other > answer), ...this.open];
    this.active = next;
  }

  /** One step towards the best: level with those before, then ahead of them. */
  better(answer) {
    this.#step(answer, -1);
  }

  /** One step towards the worst. */
  worse(answer) {
    this.#step(answer, 1);
  }

  /** Puts an answer before (`-1`), level with (`0`) or behind (`1`) another. */
  drop(answer, other, side) {
    this.active = answer;
    if (answer === other) return;
    const groups = this.#without(answer);
    const at = groups.findIndex((group) => group.includes(other));
    if (at < 0) groups.push([answer]);
    else if (side === 0) groups[at].push(answer);
    else groups.splice(side < 0 ? at : at + 1, 0, [answer]);
    this.#write(groups);
  }

  /** The next answer is active. */
  onward() {
    this.active = (this.active + 1) % this.count;
  }

  #step(answer, direction) {
    this.active = answer;
    const before = this.groups;
    const from = before.findIndex((group) => group.includes(answer));
    const groups = this.#without(answer);
    if (from < 0) groups.splice(direction < 0 ? groups.length : 0, 0, [answer]);
    else if (before[from].length > 1) groups.splice(direction < 0 ? from : from + 1, 0, [answer]);
    else if (direction < 0 && from > 0) groups[from - 1].push(answer);
    else if (direction > 0 && from < groups.length) groups[from].push(answer);
    else return;
    this.#write(groups);
  }

  #all() {
    return Array.from({ length: this.count }, (_, answer) => answer);
  }

  #without(answer) {
    return this.groups.map((group) => group.filter((other) => other !== answer)).filter((group) => group.length);
  }

  #write(groups) {
    groups.forEach((group, n) => group.forEach((answer) => (this.places[answer] = n + 1)));
  }
}
