/** The voting page: brings its parts together, and follows its life. */

import { turn } from "./alone.js";
import { Api } from "./api.js";
import * as asides from "./asides.js";
import { Desk, onScreen, screen } from "./desk.js";
import * as dialogs from "./dialogs.js";
import { Dwell } from "./dwell.js";
import { Guideline } from "./guideline.js";
import { Help } from "./help.js";
import { listen, printKeys } from "./input.js";
import { Keys } from "./keys.js";
import { Progress } from "./progress.js";
import { Queue } from "./queue.js";
import * as recent from "./recent.js";
import { Sender } from "./sender.js";
import { Session } from "./session.js";
import { Stage } from "./stage.js";
import { Status } from "./status.js";

/** Milliseconds between two looks at how the campaign stands. */
const LOOK = 60_000;

const byId = (id) => document.getElementById(id);
const page = byId("vote").dataset;
const { user, campaign } = page;
const path = `/api/campaigns/${encodeURIComponent(campaign)}`;

const say = (words) => (byId("said").textContent = words);
const api = new Api(document.querySelector("meta[name=csrf]").content);
const queue = new Queue(user, campaign);
const session = new Session(queue);
const status = new Status(queue);
const dwell = new Dwell();
const stage = new Stage(dwell, say);
const guideline = new Guideline(user, campaign, Number(page.version));
const progress = new Progress(Number(page.mine));
const keys = new Keys(user, page.sheet);
const help = new Help(keys, () => printKeys(keys));
const told = { saved, refused, more, hopeless, state: (name) => status.set(name) };
const sender = new Sender({ api, queue, session, user, path, told });
const desk = new Desk({ session, stage, progress, guideline, say, said, shown });

/** Outcomes of control questions that are still to be shown. */
const outcomes = [];
/** A guideline that is newer than the one in view. */
let newer = null;

/** What can be done without a question, and on which screens: on all where none is named. */
const ACTS = {
  undo: [() => desk.undo(), "question", "waiting", "end"],
  recent: [openRecent, "question", "waiting", "end"],
  guideline: [() => guideline.toggle(), "question", "waiting", "end"],
  start: [begin, "intro"],
  look: [lookAgain, "end"],
  here: [() => take(true), "elsewhere"],
  help: [() => help.open()],
  again: [() => sender.wake()],
};

function act(name, how) {
  const [does, ...screens] = ACTS[name] ?? [desk.acts[name], "question"];
  if (!screens.length || screens.includes(onScreen())) does(how);
}

/** The person is past the guideline. */
function begin() {
  byId("intro").hidden = true;
  guideline.read();
  guideline.settle();
  desk.show();
}

/** Begins to ask and to send, as the only page that does. */
async function take(insist) {
  const mine = await turn(`accord/vote/${user}/${campaign}`, insist);
  if (mine === null) {
    screen("elsewhere");
    return;
  }
  mine.lost.then(leave);
  drawAsides();
  if (guideline.known || guideline.empty || progress.mine > 0) begin();
  else screen("intro");
  guideline.settle();
  sender.start();
  await recall();
}

/** Another page has its turn. */
function leave() {
  sender.stop();
  stage.clear();
  session.leave();
  screen("elsewhere");
}

/** The person comes back to the page after so many milliseconds. */
function back(away) {
  if (away > 60_000 * Number(page.lease)) session.release();
  sender.wake();
  look();
}

// What the desk tells.

function said() {
  status.more();
  sender.nudge();
}

function shown() {
  if (newer && !dialogs.covered()) {
    guideline.renew(newer);
    newer = null;
  }
}

// What the sender tells.

function saved(entry, body) {
  if (body?.feedback) outcomes.push([body.feedback, entry]);
  showOutcome();
}

function refused(entry) {
  if (entry.kind === "vote") {
    session.drop(entry.body.id);
    if (!entry.body.supersedes) progress.add(-1);
  }
  drawAsides();
  recall();
}

/** Questions came, or there are none. */
function more() {
  if (stage.item || onScreen() === "intro") return;
  desk.show();
  if (session.ended) look();
}

function hopeless(why) {
  if (!session.current) fail(why);
}

function showOutcome() {
  if (outcomes.length && !dialogs.covered()) dialogs.showFeedback(...outcomes.shift());
}

function drawAsides() {
  const forget = (entry) => {
    queue.forget(entry);
    drawAsides();
  };
  const again = (entry) => {
    forget(entry);
    queue.add(entry.kind, entry.body, entry.item);
    said();
  };
  const anew = (entry) => {
    forget(entry);
    desk.reopen(entry);
  };
  asides.draw(queue, { again, anew, forget, recent: openRecent });
}

function openRecent() {
  listRecent();
  recent.openList();
  if (!queue.first()) recall().then(listRecent);
}

function listRecent() {
  const unsent = new Set(queue.all().map((entry) => entry.body.question));
  recent.list(session.decided, unsent, (decision) => desk.change(decision));
}

/** Asks the server for the latest decisions. */
async function recall() {
  const { status: answered, body } = await api.get(`${path}/recent`);
  if (answered === 200) session.recall(body);
}

/** Asks how the campaign stands, and whether its guideline is another. */
async function look() {
  const standing = await api.get(`${path}/standing`);
  if (standing.status !== 200) return;
  progress.set(standing.body, session.unsent);
  if (standing.body.guideline <= guideline.version) return;
  const text = await api.get(`${path}/guideline`);
  if (text.status !== 200) return;
  newer = text.body;
  if (!stage.item) shown(); // else when the next question comes
}

function lookAgain() {
  session.lookAgain();
  desk.show();
  sender.wake();
}

/** Says that the page cannot go on, and that nothing is lost. */
function fail(why) {
  byId("broken-why").textContent = why;
  byId("broken-kept").hidden = queue.all().length === 0;
  screen("broken");
}

window.addEventListener("error", ({ error }) => error && fail(`Something went wrong on this page: ${error.message}`));
window.addEventListener("unhandledrejection", ({ reason }) => fail(`Something went wrong on this page: ${reason}`));
window.addEventListener("online", () => sender.wake());
window.addEventListener("focus", () => sender.wake());
window.addEventListener("beforeunload", (event) => queue.safe || event.preventDefault());

let hidden = Date.now();
document.addEventListener("visibilitychange", () => {
  if (document.hidden) hidden = Date.now();
  else back(Date.now() - hidden);
});
setInterval(() => {
  if (document.hidden) return;
  if (session.ended) lookAgain();
  look();
}, LOOK);

dialogs.prepare((covered) => {
  dwell.cover(covered);
  if (!covered) showOutcome();
});
listen({ keys, act, escape: () => desk.escape(), age: () => desk.age });
printKeys(keys);
progress.add(session.unsent);
take(false);
