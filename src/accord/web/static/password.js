// A button beside each password that shows it: so it need not be typed twice.

for (const field of document.querySelectorAll("input[type=password]")) {
  const name = document.querySelector(`label[for="${field.id}"]`).textContent;
  const button = document.createElement("button");
  const label = (word) => {
    button.textContent = word;
    button.setAttribute("aria-label", `${word}: ${name}`);
  };
  button.type = "button";
  button.addEventListener("click", () => {
    field.type = field.type === "password" ? "text" : "password";
    label(field.type === "password" ? "Show" : "Hide");
  });
  label("Show");
  field.after(button);
  field.form.addEventListener("submit", () => { field.type = "password"; });
}
