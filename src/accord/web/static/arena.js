/** The Arena: a conversation with two hidden models. A message, both answers, a vote, and on from the better one. */

import { ANSWERS } from "./answers.js";
import { Api } from "./api.js";
import { Settings } from "./arena_settings.js";
import { happenings } from "./arena_stream.js";
import * as view from "./arena_view.js";
import * as dialogs from "./dialogs.js";
import { Dwell } from "./dwell.js";
import { newId } from "./ids.js";
import { listen, printKeys } from "./input.js";
import { Keys } from "./keys.js";

const PATH = "/api/arena/conversations";
const ENDED = "This conversation has ended: nothing was said for long, or the server was started anew. What you voted is kept. Your next message begins another.";
const LOGGED_OUT = "You are logged out. Log in, and come back to this conversation.";

const byId = (id) => document.getElementById(id);
const { user } = byId("arena").dataset;
const field = byId("message");
const api = new Api(document.querySelector("meta[name=csrf]").content);
const settings = new Settings(user);
const keys = new Keys(user, "pair");
const dwell = new Dwell();
const round = new view.Round();
/** The conversation that this tab is in; a reload goes on with it. */
const tab = remembered(`accord/arena/${user}`);

/** Messages that were sent in this conversation and decided about. */
let decided = 0;
/** The round that is on the screen, as the server calls it. */
let current = null;
/** A vote that is not known to be saved. */
let pending = null;
/** What “Try again” does. */
let again = () => {};
/** When the choice came on the screen. */
let since = 0;

const acts = {
  ...Object.fromEntries(["left", "right", "tie", "both_bad"].map((name) => [name, [() => choose(ANSWERS[name].choice), "choose"]])),
  skip: [skip, "choose"],
  stop: [stop, "answering"],
  question: [() => byId("round-title").focus(), "answering", "choose"],
  toA: [() => round.show("left")],
  toB: [() => round.show("right")],
  fresh: [fresh],
  settings: [() => settings.open()],
  again: [() => again()],
};

function act(name) {
  const [does, ...screens] = acts[name] ?? [() => {}];
  if (!screens.length || screens.includes(view.onScreen())) does();
}

// What is said to the person.

const say = (words) => (byId("said").textContent = words);

/** One line above what the person does. @param {(() => void) | null} retry  what “Try again” does */
function notice(words, retry = null, login = false) {
  again = retry ?? (() => {});
  byId("notice").hidden = words === "";
  byId("notice-words").textContent = words;
  byId("notice-again").hidden = retry === null;
  byId("notice-login").hidden = !login;
}

/** A reply that is no good. */
function refused({ status, why }, retry) {
  if (status === 404) ended();
  else if (status === 401) notice(LOGGED_OUT, null, true);
  else if (status === 0 || status >= 500) notice("The server does not answer.", retry);
  else notice(why.charAt(0).toUpperCase() + why.slice(1), retry);
}

// The turns of the conversation.

/** The person may write. @param {string} text  what stands there to be sent */
function compose(text = "") {
  current = null;
  dwell.on(null);
  round.hide();
  view.screen("compose");
  if (text) field.value = text;
  byId("welcome").hidden = decided > 0;
}

function focusField() {
  if (matchMedia("(hover: hover)").matches) field.focus();
}

async function send() {
  const message = field.value;
  if (!message.trim() || view.onScreen() !== "compose") return;
  notice("");
  field.value = "";
  round.begin(message, decided + 1);
  view.screen("answering");
  round.toTop();
  const id = tab.get() ?? (await begin());
  if (id === null) back(message);
  else await hear(id, message);
}

/** Begins a conversation. @returns {Promise<string | null>} */
async function begin() {
  const begun = await api.post(PATH, {});
  if (begun.status === 201) {
    tab.set(begun.body.id);
    return begun.body.id;
  }
  refused(begun, () => send());
  return null;
}

/** The message counts as not sent: it stands where it was written. */
function back(message) {
  compose(message);
  focusField();
}

/** Follows both answers until nothing more comes. */
async function hear(id, message) {
  const ends = new Set();
  let begun = false;
  for await (const now of happenings(`${PATH}/${id}/answers`, { message, ...settings.values }, api.csrf)) {
    if (tab.get() !== id) return; // another conversation was begun meanwhile
    switch (now.event) {
      case "round":
        current = now.round;
        break;
      case "waiting":
        round.say(`${now.before} before you`);
        break;
      case "loading":
        round.say("The models are being loaded, which takes a moment.");
        break;
      case "piece":
        if (!begun) round.say("Both are answering.");
        begun = true;
        round.piece(now.side, now.text);
        break;
      case "end":
        ends.add(now.side);
        round.end(now.side, now.finished);
        if (ends.size < 2) round.say(`${now.side === "left" ? "A" : "B"} has ended its answer.`);
        break;
      case "done":
        round.done(now.stopped);
        await ask();
        return;
      case "dropped":
        say("Stopped. Your message is back.");
        back(message);
        return;
      case "error":
        notice(now.why, () => send());
        back(message);
        return;
      case "refused":
        if (now.status === 409) {
          field.value = message;
          await recall(now.why);
        } else {
          back(message);
          refused(now, () => send());
        }
        return;
      case "lost":
        await regain(message);
        return;
      default:
    }
  }
}

/** The person is asked which answer is better. */
function ask() {
  round.say(round.alike ? "Both say the same: a tie, or both bad." : "Which answer is better?");
  for (const side of ["left", "right"]) document.querySelector(`.choices [data-do=${side}]`).disabled = round.alike;
  view.screen("choose");
  since = performance.now();
  dwell.on(current);
  const { activeElement } = document;
  if (activeElement === document.body || activeElement === null) byId("round-title").focus({ preventScroll: true });
}

async function choose(choice) {
  if (pending || (round.alike && (choice === "left" || choice === "right"))) return;
  pending = { id: newId(), round: current, choice, seconds: dwell.take(current) };
  await save();
}

async function save() {
  notice("");
  const vote = pending;
  const saved = await api.post(`${PATH}/${tab.get()}/votes`, vote);
  if (pending !== vote) return; // a new conversation was begun meanwhile
  if (saved.status === 200) {
    pending = null;
    goOn(vote.choice, saved.body.goes_on);
  } else if (saved.status === 0 || saved.status >= 500) {
    notice("Your vote is not saved yet: the server does not answer.", () => save());
  } else {
    pending = null;
    if (saved.status === 409) await recall(saved.why);
    else refused(saved, null);
  }
}

/** The vote is on disk. */
function goOn(choice, side) {
  const words = view.verdict(choice);
  const kept = view.keep(round.message, round.answers[side], words);
  decided += 1;
  compose();
  say(`Saved. ${words}.`);
  kept.scrollIntoView({ block: "nearest", behavior: "instant" });
  if (matchMedia("(hover: hover)").matches) field.focus({ preventScroll: true });
  else kept.focus({ preventScroll: true });
}

async function skip() {
  if (pending) return;
  const left = await api.post(`${PATH}/${tab.get()}/skip`, { round: current });
  if (left.status === 200) {
    say("Skipped: nothing of it is kept. Your message is back.");
    back(round.message);
  } else if (left.status === 409) await recall(left.why);
  else refused(left, () => skip());
}

async function stop() {
  if (tab.get() === null) return;
  round.say("Stopping.");
  await api.post(`${PATH}/${tab.get()}/stop`, {});
}

/** The server has forgotten the conversation. */
function ended() {
  const message = view.onScreen() === "compose" ? "" : round.message;
  clear();
  if (message) field.value = message;
  notice(ENDED);
  focusField();
}

function clear() {
  tab.remove();
  decided = 0;
  pending = null;
  view.conversation([]);
  compose();
  notice("");
}

async function fresh() {
  if (view.onScreen() === "answering") await stop();
  clear();
  say("A new conversation.");
  field.focus();
}

/** Shows the conversation as the server has it. @param {string} why  to be told as well */
async function recall(why = "") {
  const id = tab.get();
  if (id === null) {
    clear();
    return;
  }
  let found = await api.get(`${PATH}/${id}`);
  if (found.status === 200 && found.body.round?.answering) found = await api.post(`${PATH}/${id}/stop`, {});
  if (found.status !== 200) {
    refused(found, () => recall());
    return;
  }
  const { messages, round: open } = found.body;
  decided = messages.length / 2;
  view.conversation(messages);
  compose();
  notice(why && why.charAt(0).toUpperCase() + why.slice(1));
  if (open === null) return;
  current = open.id;
  round.restore(open, decided + 1);
  ask();
}

/** The connection was lost while both were answering: goes on with what the server has of it. */
async function regain(message) {
  await recall();
  if (view.onScreen() === "choose") notice("The connection was lost, and both were stopped.");
  else {
    back(message);
    notice("The connection was lost. Your message is back.", () => send());
  }
}

/** One text that this tab keeps over reloads. */
function remembered(key) {
  let text = attempt(() => sessionStorage.getItem(key));
  return {
    get: () => text,
    set: (value) => {
      text = value;
      attempt(() => sessionStorage.setItem(key, value));
    },
    remove: () => {
      text = null;
      attempt(() => sessionStorage.removeItem(key));
    },
  };
}

/** Browsers may refuse to keep anything. */
function attempt(doing) {
  try {
    return doing() ?? null;
  } catch {
    return null;
  }
}

// What the person does.

byId("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
field.addEventListener("keydown", (event) => {
  const sends = event.key === "Enter" && !event.shiftKey && !event.isComposing && matchMedia("(hover: hover)").matches;
  if (!sends) return;
  event.preventDefault();
  send();
});
dialogs.prepare((covered) => dwell.cover(covered));
listen({ keys, act, escape: () => act("stop"), age: () => performance.now() - since });
printKeys(keys);

// The two stand beside each other, or one is swiped to after the other: then keys must reach what scrolls.
const narrow = matchMedia("(max-width: 760px)");
const settle = () => {
  for (const [name, value] of [["tabindex", "0"], ["role", "group"], ["aria-label", "Both answers"], ["data-scrolls", ""]]) {
    if (narrow.matches) byId("sides").setAttribute(name, value);
    else byId("sides").removeAttribute(name);
  }
};
narrow.addEventListener("change", settle);
settle();

view.screen("compose");
if (tab.get()) recall().then(focusField);
else focusField();
