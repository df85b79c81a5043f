/**
 * What is on the page's mind: the questions at hand, the latest decisions, and what to do about them.
 *
 * Nothing here waits for the server or touches the document. What was decided goes into the queue at once.
 */

import { newId } from "./ids.js";

/** How many questions the page wants to hold, the one on the screen among them. */
const HELD = 3;
const REMEMBERED = 10;

/**
 * @typedef {Object} Item      a question, as the API gives it
 * @property {string} question
 * @property {string} form
 * @property {Array} prompt
 * @property {Array} responses
 *
 * @typedef {Object} Decision
 * @property {Item} item
 * @property {Object | null} answer  null where the question was skipped
 * @property {string | null} vote    the vote that stands
 * @property {string} comment
 * @property {string[]} tags
 * @property {string} reason         why it was skipped
 *
 * @typedef {Object} Notes           what goes with an answer
 * @property {string} comment
 * @property {string[]} tags
 * @property {number} seconds
 * @property {number} guideline
 */

export class Session {
  /** @param {import("./queue.js").Queue} queue */
  constructor(queue) {
    this.queue = queue;
    /** @type {Item[]} */
    this.upcoming = [];
    /** The newest first. @type {Decision[]} */
    this.decided = [];
    /** The decision that is being changed. @type {Decision | null} */
    this.changing = null;
    /** Whether the server may have given questions before that are not at hand. */
    this.fresh = true;
    /** Whether the server had fewer questions than were wanted. */
    this.dry = false;
    /** Whether it had none, and nothing is at hand. */
    this.ended = false;
  }

  /** The question on the screen. @returns {Item | undefined} */
  get current() {
    return this.changing?.item ?? this.upcoming[0];
  }

  /** How many questions were answered of which the server may not know. */
  get unsent() {
    return this.queue.all().filter(({ kind, body }) => kind === "vote" && !body.supersedes).length;
  }

  /** How many more questions the page would like, and which it has. */
  wish() {
    const held = new Set(this.upcoming.map((item) => item.question));
    for (const entry of this.queue.all()) held.add(entry.body.question);
    const enough = this.ended || (this.dry && this.upcoming.length > 0);
    return { want: enough ? 0 : Math.max(0, HELD - this.upcoming.length), held: [...held].slice(0, 50) };
  }

  /** Takes the questions that the server gave where `want` were wished for. */
  take(items, want) {
    const asked = this.fresh;
    if (want > 0) this.fresh = false;
    const known = new Set(this.wish().held);
    this.upcoming.push(...items.filter((item) => !known.has(item.question)));
    if (want > 0) this.dry = items.length < want;
    const none = want > 0 && items.length === 0 && this.upcoming.length === 0;
    this.ended = none && asked;
    this.fresh ||= none && !asked; // more may have been given before than the page wished for when it was loaded
  }

  /** There may be more questions again. */
  lookAgain() {
    this.dry = false;
    this.ended = false;
  }

  /** Lets go of the questions that are not on the screen: their leases have ended. */
  release() {
    this.upcoming.splice(1);
    this.fresh = true;
    this.lookAgain();
  }

  /** Lets go of all questions: another page asks now. */
  leave() {
    this.upcoming = [];
    this.changing = null;
    this.fresh = true;
    this.lookAgain();
  }

  /** Takes the decisions as the server knows them; those in the queue are newer. @param {Object[]} known */
  recall(known) {
    this.decided = known.map(({ answer, vote, comment, tags, reason, at, ...item }) => ({
      item,
      answer,
      vote,
      comment,
      tags,
      reason,
    }));
    for (const { kind, body, item } of this.queue.all()) {
      if (kind === "flag") continue;
      this.#forget(body.question);
      if (kind === "undo") continue;
      const { answer = null, id = null, comment = "", tags = [], reason = "" } = body;
      this.#remember({ item, answer, vote: id, comment, tags, reason });
    }
  }

  /** The answer to the question on the screen. @param {Notes} notes @returns {Decision} */
  decide(answer, notes) {
    const { item, before } = this.#leave();
    const { comment, tags } = notes;
    const body = { id: newId(), question: item.question, answer, ...notes, supersedes: before?.vote ?? null };
    this.queue.add("vote", body, item);
    return this.#remember({ item, answer, vote: body.id, comment, tags, reason: "" });
  }

  /** Leaves the question on the screen to others. @returns {Decision} */
  skip(reason) {
    const { item } = this.#leave();
    this.queue.add("skip", { question: item.question, reason }, item);
    return this.#remember({ item, answer: null, vote: null, comment: "", tags: [], reason });
  }

  /** Says what is wrong with the question on the screen. */
  flag(reason, comment) {
    this.queue.add("flag", { id: newId(), question: this.current.question, reason, comment }, this.current);
  }

  /** Takes back the latest decision: its question is the one on the screen. @returns {Decision | undefined} */
  undo() {
    const last = this.decided.shift();
    if (!last) return undefined;
    const { question } = last.item;
    const unsent = this.queue
      .all()
      .find(({ kind, body }) => (kind === "vote" ? body.id === last.vote : kind === "skip" && body.question === question));
    // One that was sent may have arrived, even if no answer came; and one that corrects another leaves that standing.
    if (unsent?.tries === 0 && !unsent.body.supersedes) this.queue.remove(unsent);
    else this.queue.add("undo", { id: newId(), question, vote: last.vote }, last.item);
    this.reopen(last.item);
    return last;
  }

  /** Shows an earlier decision's question, for another answer. @param {Decision} decision */
  change(decision) {
    this.changing = decision;
  }

  /** Shows a question again that was not answered after all. @param {Item} item */
  reopen(item) {
    this.changing = null;
    this.upcoming = [item, ...this.upcoming.filter((other) => other.question !== item.question)];
    this.ended = false;
  }

  /** Leaves the decision as it was. */
  keep() {
    this.changing = null;
  }

  /** Forgets a decision that the server did not take. */
  drop(vote) {
    this.decided = this.decided.filter((decision) => decision.vote !== vote);
  }

  #leave() {
    const item = this.current;
    const before = this.changing;
    if (before) this.changing = null;
    else this.upcoming.shift();
    return { item, before };
  }

  #remember(decision) {
    this.#forget(decision.item.question);
    this.decided = [decision, ...this.decided].slice(0, REMEMBERED);
    return decision;
  }

  #forget(question) {
    this.decided = this.decided.filter((decision) => decision.item.question !== question);
  }
}
