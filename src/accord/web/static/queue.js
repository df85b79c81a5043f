/**
 * What was said and is not saved yet, in order; and what the server would not take.
 *
 * Each entry has a key of its own in the browser's storage, so that two pages never write over each other's.
 */

import { Kept } from "./kept.js";

/**
 * @typedef {Object} Entry
 * @property {string} key    sorts in the order in which things were said
 * @property {"vote" | "skip" | "undo" | "flag"} kind
 * @property {Object} body   what is sent
 * @property {Object} item   the question, to be shown again
 * @property {number} tries  how often it was sent; from the first on, the server may have it
 * @property {string} [why]     the server's reason not to take it
 * @property {number} [status]  and its status
 */

export class Queue {
  /** The queue of one person in one campaign: nobody else's is ever read. */
  constructor(user, campaign) {
    this.waiting = new Kept(`accord/vote/${user}/${campaign}/waiting/`);
    this.refused = new Kept(`accord/vote/${user}/${campaign}/refused/`);
    this.latest = 0;
  }

  /** @returns {Entry[]} the oldest first */
  all() {
    return read(this.waiting);
  }

  /** @returns {Entry | undefined} */
  first() {
    return this.all()[0];
  }

  /** @returns {Entry} */
  add(kind, body, item) {
    this.latest = Math.max(this.latest + 1, Date.now());
    const key = `${String(this.latest).padStart(15, "0")}-${body.id ?? body.question}`;
    const entry = { key, kind, body, item, tries: 0 };
    this.update(entry);
    return entry;
  }

  update(entry) {
    this.waiting.set(entry.key, JSON.stringify(entry));
  }

  remove(entry) {
    this.waiting.remove(entry.key);
  }

  /** Takes an entry out of the way of the others, and keeps it. */
  setAside(entry, { status, why }) {
    this.refused.set(entry.key, JSON.stringify({ ...entry, status, why }));
    this.remove(entry);
  }

  /** @returns {Entry[]} what the server would not take */
  asides() {
    return read(this.refused);
  }

  /** Drops what was set aside. */
  forget(entry) {
    this.refused.remove(entry.key);
  }

  /** Whether everything would survive the end of this page. */
  get safe() {
    return this.waiting.loose.size === 0 && this.refused.loose.size === 0;
  }
}

/** @returns {Entry[]} */
function read(kept) {
  return kept.keys().flatMap((key) => {
    try {
      return [JSON.parse(kept.get(key))];
    } catch {
      return []; // not ours: the browser's storage is open to every page of this server
    }
  });
}
