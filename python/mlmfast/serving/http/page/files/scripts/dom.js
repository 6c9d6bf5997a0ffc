// Small helpers for the document.

export const byId = (id) => document.getElementById(id);

/** Make an element; attributes that are null or false are left out, true means present. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** Let arrow keys move among buttons that are one tab stop together; `step` maps an event to a button or null. */
export function roveFocus(container, selector, step) {
  const select = (chosen) => {
    for (const button of container.querySelectorAll(selector)) button.tabIndex = button === chosen ? 0 : -1;
  };
  select(container.querySelector(selector));
  container.addEventListener("focusin", (event) => event.target.matches(selector) && select(event.target));
  container.addEventListener("keydown", (event) => {
    const buttons = [...container.querySelectorAll(selector)];
    const target = step(event, buttons, buttons.indexOf(document.activeElement));
    if (!target) return;
    event.preventDefault();
    target.focus();
  });
}
