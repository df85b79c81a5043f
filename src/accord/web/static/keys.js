/** Which key does what. A person may choose other keys; the browser keeps them. */

import { Kept } from "./kept.js";

const ALWAYS = {
  undo: ["Undo the last decision", "z"],
  skip: ["Skip, with a reason", "s"],
  comment: ["Comment", "c"],
  flag: ["Flag: something is wrong with it", "f"],
  question: ["To the question", "q"],
  guideline: ["Guideline", "g"],
  recent: ["Last decisions", "l"],
  help: ["Keys", "?"],
};

const PAIR = {
  left: ["A is better", "1", "ArrowLeft"],
  right: ["B is better", "2", "ArrowRight"],
  tie: ["Tie: equally good", "0", "t"],
  both_bad: ["Both are bad", "b"],
};

const SCALE = {
  left3: ["A is much better", "1"],
  left2: ["A is better", "2", "ArrowLeft"],
  left1: ["A is slightly better", "3"],
  tie: ["Tie: equally good", "4", "0", "t"],
  right1: ["B is slightly better", "5"],
  right2: ["B is better", "6", "ArrowRight"],
  right3: ["B is much better", "7"],
  both_bad: ["Both are bad", "b"],
};

const THUMB = { up: ["Good", "1", "ArrowLeft"], down: ["Not good", "2", "ArrowRight"] };

const NUMBERS = [1, 2, 3, 4, 5, 6, 7, 8, 9];
const ORDER = {
  ...Object.fromEntries(NUMBERS.map((n) => [`place${n}`, [`Place ${n} for the answer; the same place is a tie`, `${n}`]])),
  better: ["Move the answer up: first level with the one before, then ahead of it", "ArrowLeft"],
  worse: ["Move the answer down", "ArrowRight"],
  onward: ["Go to the next answer", "n"],
  save: ["Save the order", "Enter"],
};

/** @typedef {"pair" | "scale" | "thumb" | "ranking"} Sheet  a form; `scale` is a pair of which the strength is asked */

/** What can be done: name -> words for it, and its keys from the start. @type {Object<Sheet, Object<string, string[]>>} */
export const ACTIONS = {
  pair: { ...PAIR, ...ALWAYS },
  scale: { ...SCALE, ...ALWAYS },
  thumb: { ...THUMB, ...ALWAYS },
  ranking: { ...ORDER, ...ALWAYS },
};

/** Keys that belong to the browser, or to whatever has the focus. */
const NOT_OURS = new Set(["Tab", "Escape", "Enter", " ", "ArrowUp", "ArrowDown", "Home", "End", "PageUp", "PageDown"]);
const NAMES = { ArrowLeft: "←", ArrowRight: "→", Enter: "⏎" };

/** A key as it is printed on a button. */
export const shown = (key) => NAMES[key] ?? key.toUpperCase();

/**
 * The keys that an event may stand for: what it types; else the digit at its place, which takes Shift on some
 * keyboards; else the Latin letter at its place, where another alphabet is typed.
 * @param {KeyboardEvent} event
 * @returns {string[]}  none for what belongs to the browser or a screen reader
 */
export function keysOf(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.getModifierState("AltGraph")) return [];
  const typed = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const [, kind, place] = /^(Key|Digit)(.)$/.exec(event.code) ?? [];
  const helps = kind === "Digit" ? !event.shiftKey : kind === "Key" && typed > "\x7f";
  return helps ? [typed, place.toLowerCase()] : [typed];
}

/** A person's keys for one sheet. */
export class Keys {
  /** @param {string} user  @param {Sheet} sheet */
  constructor(user, sheet) {
    this.kept = new Kept(`accord/keys/${user}/`);
    this.sheet = sheet;
    this.available = ACTIONS[sheet];
    this.own = this.#read();
  }

  /** The keys of an action. @returns {string[]} */
  of(action) {
    return this.own[action] ?? this.available[action].slice(1);
  }

  /** The action that an event asks for. @returns {string | undefined} */
  action(event) {
    for (const key of keysOf(event)) {
      const found = Object.keys(this.available).find((action) => this.of(action).includes(key));
      if (found) return found;
    }
    return undefined;
  }

  /** Gives an action another key, instead of those it had. @returns {string} why not; empty where it was done */
  change(action, event) {
    const [key] = keysOf(event);
    if (!key || NOT_OURS.has(key) || (key.length > 1 && !(key in NAMES))) {
      return "That key belongs to the browser. Choose a letter, a digit, a sign, ← or →.";
    }
    const holder = Object.keys(this.available).find((other) => other !== action && this.of(other).includes(key));
    if (holder) return `${shown(key)} is taken: “${this.available[holder][0]}”. Give that another key first.`;
    this.own[action] = [key];
    this.kept.set(this.sheet, JSON.stringify(this.own));
    return "";
  }

  /** Back to the keys from the start. */
  reset() {
    this.own = {};
    this.kept.remove(this.sheet);
  }

  #read() {
    try {
      const read = Object.entries(JSON.parse(this.kept.get(this.sheet)) ?? {});
      return Object.fromEntries(read.filter(([action, keys]) => action in this.available && Array.isArray(keys)));
    } catch {
      return {};
    }
  }
}
