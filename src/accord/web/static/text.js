/** How foreign text stands on the page: as text, with nothing hidden in it. */

/** Controls, halves of characters, what turns the order of the letters around, and what takes no room. */
const HIDDEN =
  /[\0-\x08\x0B-\x1F\x7F-\x9F\u200B\u202A-\u202E\u2060-\u2069\uFEFF\uFFF9-\uFFFB\u{E0001}\u{E0020}-\u{E007F}]|\p{Cs}/gu;

/** The text with every character named that could deceive the reader's eye. @param {string} text */
export function visible(text) {
  const named = (character) => `⟨U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`;
  return text.replaceAll("\r\n", "\n").replace(HIDDEN, named);
}

/** The first words of a text, on one line. */
export function excerpt(text, length = 140) {
  const line = visible(text.slice(0, 4 * length)).replace(/\s+/g, " ").trim();
  return line.length > length ? `${line.slice(0, length).trimEnd()}…` : line;
}

/** A new element. @param {Object} [attributes]  `text` is its text  @param {Node[]} [children] */
export function element(tag, { text = "", ...attributes } = {}, children = []) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  made.append(...children);
  return made;
}

/** One message of a conversation. @param {{role: string, text: string, html: string | null}} turn */
export function message(turn) {
  const made = element("div", { class: "text", dir: "auto" });
  if (turn.html === null) made.textContent = visible(turn.text);
  else {
    made.classList.add("markdown");
    fill(made, turn.html);
  }
  return made;
}

/** Puts the server's HTML into an element. @param {string} html  sanitised by the server */
export function fill(place, html) {
  place.innerHTML = html;
  // What may be wider than the page scrolls by itself, and the keyboard must reach it.
  for (const wide of place.querySelectorAll("pre, table")) frame(wide);
}

function frame(wide) {
  const label = wide.tagName === "PRE" ? "Code" : "Table";
  const around = element("div", { class: "frame", role: "group", "aria-label": label, tabindex: "0" });
  wide.replaceWith(around);
  around.append(wide);
}
