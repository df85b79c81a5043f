// Buttons that copy what stands in a field, and the focus on what was just made.

const said = document.createElement("p");
said.className = "visually-hidden";
said.setAttribute("role", "status");
document.body.append(said);

/** Copies a field's text; where the browser does not let pages write to the clipboard, it is selected, for Ctrl-C. */
async function copy(button, field) {
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    field.select();
    if (!document.execCommand("copy")) {
      said.textContent = "Selected: copy it with Ctrl-C.";
      return;
    }
  }
  said.textContent = "Copied.";
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 2_000);
}

for (const button of document.querySelectorAll("[data-copy]")) {
  const field = document.getElementById(button.dataset.copy);
  button.hidden = false;
  button.addEventListener("click", () => copy(button, field));
  field.addEventListener("focus", () => field.select());
}
document.querySelector("[data-focus]")?.focus();
