/** What a person may add to an answer: reasons to tick, and a comment. */

import { storable } from "./dialogs.js";

const panel = () => document.getElementById("notes");
const field = () => document.getElementById("comment");
const boxes = () => [...panel().querySelectorAll("input[type=checkbox]")];

/** @returns {{comment: string, tags: string[]}} */
export function read() {
  return { comment: storable(field().value.trim()), tags: boxes().filter((box) => box.checked).map((box) => box.value) };
}

/** Puts back what was noted on a question, or nothing. */
export function write({ comment = "", tags = [] } = {}) {
  field().value = comment;
  for (const box of boxes()) box.checked = tags.includes(box.value);
  setOpen(comment !== "");
}

/** Opens the panel with the cursor in the comment, or closes it. */
export function toggle() {
  setOpen(!panel().classList.contains("open"));
  if (panel().classList.contains("open")) field().focus();
}

/** Opens the panel with the cursor in the comment. */
export function open() {
  setOpen(true);
  field().focus();
}

/** Leaves the comment as it is; an empty one is put away. */
export function leave() {
  setOpen(field().value.trim() !== "");
}

/** Whether the comment is being written. */
export const writing = () => document.activeElement === field();

function setOpen(open) {
  panel().classList.toggle("open", open);
  for (const button of document.querySelectorAll("[data-do=comment]")) button.setAttribute("aria-expanded", String(open));
}
