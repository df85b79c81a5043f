/** Sends what waits in the queue, one after the other, and gets more questions. */

const PATHS = { vote: "/api/votes", skip: "/api/skips", undo: "/api/undo", flag: "/api/flags" };
/** Seconds between two looks whether somebody has logged in again. */
const LOGIN_PAUSE = 30;
const LONGEST_PAUSE = 30;
/** How often a vote is sent over which the server breaks, before others get their turn. */
const BREAKS = 8;

/** A session that is not the page's any more: what to do, by whose the new one is. */
const AFTER_RENEWAL = { renewed: "at once", same: "refused", nobody: "login", other: "login", offline: "again" };

/**
 * What an answer of the server means for what was sent.
 * @returns {"done" | "again" | "login" | "renew" | "refused"}
 */
export function verdict(status, tries) {
  if (status >= 200 && status < 300) return "done";
  if (status === 401) return "login";
  if (status === 403) return "renew";
  if (status === 500) return tries < BREAKS ? "again" : "refused";
  return status < 400 || status > 500 || status === 408 || status === 425 || status === 429 ? "again" : "refused";
}

/** Seconds until the next try after so many failures; not the same for all, who would come back at once. */
export function pause(failures, random = Math.random()) {
  return Math.min(LONGEST_PAUSE, 2 ** (failures - 1)) * (0.75 + random / 2);
}

/**
 * @typedef {Object} Told  what the sender tells
 * @property {(entry: Object, body: any) => void} saved
 * @property {(entry: Object) => void} refused  it was set aside
 * @property {() => void} more                 questions came, or there are none
 * @property {(why: string) => void} hopeless  the server gives this person no questions here
 * @property {(state: "idle" | "sending" | "offline" | "trouble" | "nobody" | "other") => void} state
 */

export class Sender {
  /**
   * @param {Object} parts
   * @param {import("./api.js").Api} parts.api
   * @param {import("./queue.js").Queue} parts.queue
   * @param {import("./session.js").Session} parts.session
   * @param {string} parts.user  whose votes these are
   * @param {string} parts.path  of the campaign's API
   * @param {Told} parts.told
   */
  constructor({ api, queue, session, user, path, told }) {
    Object.assign(this, { api, queue, session, user, path, told });
    /** Counts starts and stops: each turn ends with the next. */
    this.turn = 0;
    this.failures = 0;
    this.stranger = false;
    this.hurry = false;
    this.idle = null;
    this.paused = null;
  }

  async start() {
    this.turn += 1;
    for (const mine = this.turn; mine === this.turn; ) await this.#step();
  }

  stop() {
    this.turn += 1;
    this.wake();
  }

  /** Something may be there to do. */
  nudge() {
    this.idle?.();
  }

  /** Things may go better now: does not wait any longer. */
  wake() {
    this.hurry = true; // also where it is about to wait
    this.paused?.();
    this.nudge();
  }

  async #step() {
    if (this.stranger && !(await this.#known())) return;
    const wish = this.session.wish();
    // What was given before comes by asking, and not with the answer to a vote.
    const entry = this.session.fresh && wish.want ? undefined : this.queue.first();
    if (!entry && !wish.want) {
      this.told.state("idle");
      await new Promise((resolve) => (this.idle = resolve));
      return;
    }
    if (!this.failures) this.told.state("sending");
    const mine = this.turn;
    const reply = entry ? await this.#send(entry, wish) : await this.#ask(wish);
    if (mine === this.turn) await this.#settle(entry, wish, reply);
    else if (entry && verdict(reply.status, 0) === "done") this.queue.remove(entry);
  }

  #send(entry, wish) {
    entry.tries += 1;
    this.queue.update(entry);
    const more = entry.kind === "vote" || entry.kind === "skip" ? wish : {};
    return this.api.post(PATHS[entry.kind], { ...entry.body, ...more });
  }

  #ask(wish) {
    return this.api.post(`${this.path}/next`, wish);
  }

  async #settle(entry, wish, reply) {
    let found = verdict(reply.status, entry?.tries ?? 0);
    if (found === "renew") found = AFTER_RENEWAL[await this.api.renew(this.user)];
    if (found === "login") this.stranger = true;
    else if (found === "again") await this.#backOff(reply);
    else if (found !== "at once") {
      this.failures = 0;
      this.hurry = false;
      if (found === "done") this.#done(entry, wish, reply.body);
      else await this.#refuse(entry, reply);
    }
  }

  #done(entry, wish, body) {
    if (entry) this.queue.remove(entry);
    if (!entry || entry.kind === "skip") this.session.take(body, wish.want);
    if (entry?.kind === "vote") this.session.take(body.next, wish.want);
    if (entry?.kind === "undo") this.session.take([body], 0); // not at hand where the page was loaded anew since
    if (entry) this.told.saved(entry, body);
    this.told.more();
  }

  async #refuse(entry, reply) {
    if (entry) {
      this.queue.setAside(entry, reply);
      this.told.refused(entry);
    } else {
      this.session.fresh = false;
      this.told.hopeless(reply.why);
      await this.#sleep(LONGEST_PAUSE);
    }
  }

  async #backOff(reply) {
    this.failures += 1;
    this.told.state(reply.status === 0 ? "offline" : "trouble");
    await this.#sleep(Math.max(pause(this.failures), reply.wait));
  }

  /** Whether the person whose page this is is logged in; waits for a while where not. */
  async #known() {
    const who = await this.api.renew(this.user);
    this.stranger = who === "nobody" || who === "other";
    if (this.stranger) {
      this.told.state(who);
      await this.#sleep(LOGIN_PAUSE);
    } else if (who === "offline") {
      await this.#backOff({ status: 0, wait: 0 });
    }
    return !this.stranger;
  }

  async #sleep(seconds) {
    if (!this.hurry) {
      await new Promise((resolve) => {
        this.paused = resolve;
        setTimeout(resolve, 1000 * seconds);
      });
      this.paused = null;
    }
    this.hurry = false;
  }
}
