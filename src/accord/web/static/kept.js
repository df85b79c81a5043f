/** What the browser keeps for this page over reloads and restarts. */

/** Texts under keys that begin with a prefix: in localStorage, or in memory where the browser refuses or is full. */
export class Kept {
  /** @param {string} prefix */
  constructor(prefix) {
    this.prefix = prefix;
    /** What the browser would not take; gone when the page is. @type {Map<string, string>} */
    this.loose = new Map();
  }

  /** @returns {string | null} */
  get(key) {
    return this.loose.get(key) ?? attempt(() => localStorage.getItem(this.prefix + key), null);
  }

  /** Keeps a text, in memory at the least. */
  set(key, text) {
    const taken = attempt(() => (localStorage.setItem(this.prefix + key, text), true), false);
    if (taken) this.loose.delete(key);
    else this.loose.set(key, text);
  }

  remove(key) {
    this.loose.delete(key);
    attempt(() => localStorage.removeItem(this.prefix + key), undefined);
  }

  /** The keys there are, in their order. @returns {string[]} */
  keys() {
    const stored = attempt(() => Object.keys(localStorage), []);
    const own = stored.filter((key) => key.startsWith(this.prefix)).map((key) => key.slice(this.prefix.length));
    return [...new Set([...own, ...this.loose.keys()])].sort();
  }
}

/** Browsers may throw at every touch of localStorage. */
function attempt(act, otherwise) {
  try {
    return act();
  } catch {
    return otherwise;
  }
}
