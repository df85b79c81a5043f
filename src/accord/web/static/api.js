/** Talking to the server: JSON, with the token that says which session the page belongs to. */

/**
 * @typedef {Object} Reply
 * @property {number} status  0 where no answer came, or none of this server's
 * @property {any} body
 * @property {string} why     the server's reason, where it refused
 * @property {number} wait    seconds for which the server asks to be left alone
 */

/** Milliseconds until an answer is no longer awaited. */
const PATIENCE = 20_000;
/** Bytes up to which the browser sends a body even if the page is closed meanwhile. */
const SENT_AT_ALL_EVENTS = 30_000;

const NONE = { status: 0, body: null, why: "no answer", wait: 0 };

export class Api {
  constructor(csrf) {
    this.csrf = csrf;
  }

  /** @returns {Promise<Reply>} */
  get(path) {
    return ask(path, {});
  }

  /** @returns {Promise<Reply>} */
  post(path, body) {
    const text = JSON.stringify(body);
    return ask(path, {
      method: "POST",
      headers: { "content-type": "application/json", "x-csrf-token": this.csrf },
      body: text,
      keepalive: text.length < SENT_AT_ALL_EVENTS,
    });
  }

  /**
   * Looks who is logged in now, by the page as it would be loaded today, and takes on the new session's token.
   * @returns {Promise<"renewed" | "same" | "nobody" | "other" | "offline">}
   */
  async renew(user) {
    const page = await load(location.pathname);
    if (page === null) return "offline";
    const now = page.getElementById("vote")?.dataset.user;
    if (!now) return "nobody";
    if (now !== user) return "other";
    const csrf = page.querySelector("meta[name=csrf]").content;
    if (csrf === this.csrf) return "same";
    this.csrf = csrf;
    return "renewed";
  }
}

async function ask(path, options) {
  try {
    const answer = await fetch(path, { redirect: "error", signal: AbortSignal.timeout(PATIENCE), ...options });
    const wait = Number(answer.headers.get("retry-after")) || 0;
    if (answer.status === 204) return { status: 204, body: null, why: "", wait };
    const json = (answer.headers.get("content-type") ?? "").startsWith("application/json");
    // A proxy may answer in the server's place, with a page of its own and a friendly status: nothing is saved then.
    if (!json) return answer.ok ? NONE : { status: answer.status, body: null, why: await answer.text(), wait };
    const body = await answer.json();
    return { status: answer.status, body, why: String(body?.detail ?? ""), wait };
  } catch {
    return NONE;
  }
}

async function load(path) {
  try {
    const answer = await fetch(path, { signal: AbortSignal.timeout(PATIENCE) });
    return answer.status >= 500 ? null : new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    return null;
  }
}
