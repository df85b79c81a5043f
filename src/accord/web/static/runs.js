/** A run that trains, followed: the page asks for what has changed, and renews itself without moving its reader. */

/** Milliseconds between looks: while it trains, when it seems to have been left, and where the server is away. */
const EVERY = 3_000;
const LEFT = 30_000;
const AWAY = [5_000, 10_000, 20_000, 40_000, 60_000];
/** A look may take a tenth of the time at most: a server that is slow is asked less. */
const SHARE = 10;
const PATIENCE = 20_000;

class Follower {
  constructor(root) {
    this.root = root;
    this.tag = root.dataset.tag;
    this.button = document.getElementById("pause");
    this.says = document.getElementById("follow-says");
    this.paused = false;
    this.failures = 0;
    this.timer = 0;
    this.looking = false;
  }

  begin() {
    if (this.state === "finished" || this.state === "failed") return;
    this.button.hidden = false;
    this.button.addEventListener("click", () => this.pause(!this.paused));
    document.addEventListener("visibilitychange", () => document.hidden || this.soon(0));
    this.soon(EVERY);
  }

  get state() {
    return document.getElementById("standing").dataset.state;
  }

  pause(paused) {
    this.paused = paused;
    this.button.textContent = paused ? "Go on" : "Pause";
    this.say(paused ? "Paused: what stands here is no longer new." : "");
    if (!paused) this.soon(0);
  }

  say(text) {
    if (this.says.textContent !== text) this.says.textContent = text;
  }

  soon(milliseconds) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), milliseconds);
  }

  end(why) {
    clearTimeout(this.timer);
    if (document.activeElement === this.button) document.getElementById("standing").focus({ preventScroll: true });
    this.button.hidden = true;
    this.say(why);
    this.paused = true;
  }

  async look() {
    if (this.paused || this.looking || document.hidden) return;
    this.looking = true;
    const began = performance.now();
    const answer = await ask(this.root.dataset.address, this.tag);
    this.looking = false;
    if (this.paused) return;
    if (answer.status === 0 || answer.status >= 500) {
      const wait = AWAY[Math.min(this.failures++, AWAY.length - 1)];
      this.say("The server does not answer. It is asked again.");
      this.soon(wait);
      return;
    }
    if (answer.status === 200) {
      this.tag = answer.tag;
      keepingPlace(this.root, () => children(this.root, answer.body));
    } else if (answer.status !== 304) {
      this.end(answer.status === 404 ? "This run is no longer there." : "You are no longer logged in: load the page again.");
      return;
    }
    this.failures = 0;
    this.say("");
    if (this.state === "finished" || this.state === "failed") {
      this.end("");
      return;
    }
    const usual = this.state === "interrupted" ? LEFT : EVERY;
    this.soon(Math.max(usual, SHARE * (performance.now() - began)));
  }
}

/** What has changed since `tag`. `status` is 0 where no answer came, 401 where the server sends to the login. */
async function ask(address, tag) {
  try {
    const answer = await fetch(address, {
      headers: { "if-none-match": tag },
      cache: "no-store",
      redirect: "manual",
      signal: AbortSignal.timeout(PATIENCE),
    });
    if (answer.type === "opaqueredirect") return { status: 401 };
    if (answer.status !== 200) return { status: answer.status };
    const body = new DOMParser().parseFromString(await answer.text(), "text/html").body;
    if (!body.querySelector("#standing")) return { status: 0 }; // a proxy's page, not this server's
    return { status: 200, tag: answer.headers.get("etag") ?? "", body };
  } catch {
    return { status: 0 };
  }
}

/** Does `change`, and then scrolls so that what was at the top of the window is there still. */
function keepingPlace(root, change) {
  const focused = document.activeElement;
  const marks = [...root.querySelectorAll("h2, h3, figure, .card, .remark, .sample, tr, p")];
  const mark = window.scrollY > 0 && marks.find((one) => one.getBoundingClientRect().bottom > 0);
  const before = mark ? mark.getBoundingClientRect().top : 0;
  change();
  if (mark?.isConnected) window.scrollBy({ top: mark.getBoundingClientRect().top - before, behavior: "instant" });
  if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
}

/**
 * Makes the children of `old` like those of `fresh`, and keeps the nodes that are there: so an open <details>, the focus,
 * a selection and how far a table was scrolled stay.
 */
function children(old, fresh) {
  const known = new Map([...old.children].filter(key).map((child) => [key(child), child]));
  let at = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const name = key(child);
    const same = name ? known.get(name) : at && !key(at) && at.nodeName === child.nodeName && at;
    known.delete(name);
    if (!same) {
      old.insertBefore(document.importNode(child, true), at);
    } else {
      if (same === at) at = at.nextSibling;
      else old.insertBefore(same, at);
      settle(same, child);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function settle(old, fresh) {
  if (old.isEqualNode(fresh) || old.dataset?.own !== undefined) return; // what is the script's own
  if (old.nodeType !== Node.ELEMENT_NODE) {
    old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  children(old, fresh);
}

/** By what an element is known again, wherever it has come to stand. */
function key(node) {
  if (node.nodeType !== Node.ELEMENT_NODE) return "";
  if (node.localName === "figure") return `figure ${node.querySelector("figcaption strong")?.textContent}`;
  return node.id || node.getAttribute("aria-labelledby") || "";
}

const root = document.getElementById("live");
if (root) new Follower(root).begin();
