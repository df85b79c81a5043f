/** Dialogs over the page: they take number keys, and a click beside them closes them. */

import { inWords, rightAnswer } from "./answers.js";
import { element, visible } from "./text.js";

const byId = (id) => document.getElementById(id);

/** Whether a dialog lies over the page. */
export const covered = () => document.querySelector("dialog:modal") !== null;

/** Whether what is typed there is text. */
export function typing(target) {
  if (!(target instanceof HTMLElement)) return false;
  const text = target.matches("input:not([type=checkbox], [type=radio], [type=button], [type=submit])");
  return text || target.matches("textarea, select") || target.isContentEditable;
}

let told = (_covered) => {};

/** Makes all dialogs of the page work. @param {(covered: boolean) => void} then  one was opened, or the last closed */
export function prepare(then) {
  told = then;
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("keydown", (event) => pressNumber(dialog, event));
    dialog.addEventListener("close", () => told(covered()));
    for (const button of dialog.querySelectorAll("[data-close]")) {
      button.addEventListener("click", () => dialog.close());
    }
  }
}

/** Opens a dialog over the page. @param {HTMLDialogElement} dialog */
export function open(dialog) {
  dialog.showModal();
  told(true);
}

/** A digit presses the button, or chooses the option, of that number. */
function pressNumber(dialog, event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || typing(event.target)) return;
  const option = dialog.querySelectorAll("[data-option]")[Number(event.key) - 1];
  if (!option || !/^[1-9]$/.test(event.key)) return;
  event.preventDefault();
  option.focus();
  option.click();
}

/** Asks why a question is skipped. @param {(reason: string) => void} then */
export function askSkip(then) {
  const dialog = byId("skip");
  for (const button of dialog.querySelectorAll("[data-option]")) {
    button.onclick = () => {
      dialog.close();
      then(button.value);
    };
  }
  open(dialog);
}

/** Asks what is wrong with a question. @param {(reason: string, comment: string) => void} then */
export function askFlag(then) {
  const dialog = byId("flag");
  const form = dialog.querySelector("form");
  form.reset();
  form.onsubmit = (event) => {
    event.preventDefault();
    dialog.close();
    then(form.elements.reason.value, storable(form.elements.comment.value));
  };
  open(dialog);
}

/** Shows how an answer to a control question did. */
export function showFeedback({ passed, best, reason }, entry) {
  const dialog = byId("feedback");
  const { answer } = entry.body;
  byId("feedback-title").textContent = passed ? "That is what we hoped for" : "Here we see it differently";
  const lines = [
    ["You said", inWords(answer)],
    ["The right answer", rightAnswer(entry.item.form, best)],
    ...(reason ? [["Why", visible(reason)]] : []),
  ];
  byId("feedback-lines").replaceChildren(
    ...lines.flatMap(([name, text]) => [element("dt", { text: name }), element("dd", { text, dir: "auto" })]),
  );
  dialog.classList.toggle("passed", passed);
  open(dialog);
}

/** A text as the server can keep it. */
export function storable(text) {
  return text.replaceAll("\0", "").replace(/\p{Cs}/gu, "\uFFFD");
}
