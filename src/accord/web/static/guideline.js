/** The guideline: before the first question, beside the question on wide screens, in a drawer on narrow ones. */

import { open as openDialog } from "./dialogs.js";
import { Kept } from "./kept.js";
import { fill } from "./text.js";

const WIDE = "(min-width: 1180px)";

export class Guideline {
  /** @param {string} user  @param {string} campaign  @param {number} version  what the page came with */
  constructor(user, campaign, version) {
    this.version = version;
    this.kept = new Kept(`accord/guideline/${user}/${campaign}/`);
    this.text = document.getElementById("guideline-text");
    this.beside = document.getElementById("guideline-beside");
    this.drawer = document.getElementById("guideline-drawer");
    this.intro = document.getElementById("intro");
    this.wide = matchMedia(WIDE);
    this.wide.addEventListener("change", () => this.settle());
  }

  /** Whether there is anything to read. */
  get empty() {
    return this.text.textContent.trim() === "";
  }

  /** Whether this person has read one before in this browser. */
  get known() {
    return this.kept.get("read") !== null;
  }

  /** Puts the guideline where it belongs now. */
  settle() {
    const first = !this.intro.hidden;
    const open = this.wide.matches && !this.empty && this.kept.get("folded") === null;
    const place = first ? this.intro : open ? this.beside : this.drawer;
    place.querySelector(".guideline-place").append(this.text);
    this.beside.hidden = first || !open;
    document.body.classList.toggle("with-guideline", !this.beside.hidden);
    for (const button of document.querySelectorAll("[data-do=guideline]")) {
      button.setAttribute("aria-expanded", String(!this.beside.hidden));
    }
  }

  /** The person has it in view. */
  read() {
    this.kept.set("read", String(this.version));
  }

  /** Opens or folds it. */
  toggle() {
    if (!this.wide.matches) {
      openDialog(this.drawer);
      return;
    }
    if (this.beside.hidden) this.kept.remove("folded");
    else this.kept.set("folded", "1");
    this.settle();
  }

  /** Shows a newer version, over the page. @param {{version: number, html: string}} newer  sanitised by the server */
  renew({ version, html }) {
    this.version = version;
    fill(this.text, html);
    this.beside.hidden = true;
    document.body.classList.remove("with-guideline");
    this.drawer.querySelector(".guideline-place").append(this.text);
    document.getElementById("guideline-new").hidden = false;
    this.drawer.addEventListener("close", () => {
      document.getElementById("guideline-new").hidden = true;
      this.settle();
    }, { once: true });
    openDialog(this.drawer);
    this.read();
  }
}
