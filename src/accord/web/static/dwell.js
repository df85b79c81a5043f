/** How long each question was looked at. */

/** Counts while a question is on the screen, the page is visible, and nothing lies over it. */
export class Dwell {
  constructor(now = () => performance.now()) {
    this.now = now;
    this.question = null;
    this.since = null;
    this.covered = false;
    /** Milliseconds by question. @type {Map<string, number>} */
    this.looked = new Map();
    document.addEventListener("visibilitychange", () => this.#turn());
  }

  /** Another question is on the screen; null: none. */
  on(question) {
    this.#stop();
    this.question = question;
    this.#turn();
  }

  /** Something lies over the question, or no longer. */
  cover(covered) {
    this.covered = covered;
    this.#turn();
  }

  /** Seconds for which a question was looked at; counts anew from now. */
  take(question) {
    this.#stop();
    const seconds = (this.looked.get(question) ?? 0) / 1000;
    this.looked.delete(question);
    return Math.min(86_400, Math.round(seconds * 100) / 100);
  }

  #turn() {
    this.#stop();
    if (this.question !== null && !this.covered && document.visibilityState === "visible") this.since = this.now();
  }

  #stop() {
    if (this.since === null) return;
    this.looked.set(this.question, (this.looked.get(this.question) ?? 0) + this.now() - this.since);
    this.since = null;
  }
}
