/** Says whether everything is saved. It changes seldom, so that it can be read aloud. */

/** Milliseconds that sending may take before it is worth a word. */
const SOON = 1500;

const waiting = (count) => (count ? `${count} waiting to be sent` : "");

/** What is said of trouble while so many wait to be sent. @returns {string} empty where there is none */
export function trouble(state, count, safe) {
  const kept = count === 1 ? "Your vote is kept here, and sent" : `Your ${count} votes are kept here, and sent`;
  const said = {
    offline: ["Offline: your votes are kept here and sent when the connection is back.", waiting(count)],
    trouble: ["The server is in trouble, and is asked again soon.", waiting(count)],
    nobody: ["You are logged out.", count ? `${kept} when you are back.` : ""],
    other: ["Somebody else is logged in here.", count ? `${kept} when it is you again.` : ""],
  }[state] ?? [""];
  if (!safe) said.push("This browser keeps nothing: stay on this page until all is sent.");
  return said.filter(Boolean).join(" ");
}

export class Status {
  /** @param {import("./queue.js").Queue} queue */
  constructor(queue) {
    this.queue = queue;
    this.state = "idle";
    /** Whether there was anything to be sent, so that "Saved" means something. */
    this.said = false;
    this.timer = null;
  }

  /** The person has said something. */
  more() {
    this.set(this.state === "idle" ? "sending" : this.state);
  }

  /** @param {string} state  as the sender tells it */
  set(state) {
    this.state = state;
    this.said ||= this.queue.first() !== undefined;
    if (state === "sending" && this.queue.safe) this.timer ??= setTimeout(() => this.#show(), SOON);
    else this.#show();
  }

  #show() {
    clearTimeout(this.timer);
    this.timer = null;
    const { state, queue } = this;
    const count = queue.all().length;
    const told = trouble(state, count, queue.safe);
    write("trouble", told);
    write("saved", told || !this.said ? "" : waiting(count) || "Saved");
    byId("trouble").parentElement.dataset.state = state;
    byId("try-now").hidden = !["offline", "trouble"].includes(state);
    byId("log-in").hidden = !["nobody", "other"].includes(state);
  }
}

const byId = (id) => document.getElementById(id);

/** Changes what is read aloud only where it is another. */
function write(id, words) {
  if (byId(id).textContent !== words) byId(id).textContent = words;
}
