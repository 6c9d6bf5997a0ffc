// What the visitor does: clicks, choices and keys.
import { byId } from "./dom.js";

/** Call the `actions` for everything that can be done on the page. */
export function bindEvents(editor, actions) {
  bindForms(actions);
  bindButtons(editor, actions);
  bindKeys(editor);
  byId("model").addEventListener("change", (event) => actions.useModel(event.target.value));
  byId("words").addEventListener("input", actions.changed);
  for (const radio of document.querySelectorAll("[name=task]")) radio.addEventListener("change", actions.useTask);
  addEventListener("hashchange", actions.openLink);
  addEventListener("online", actions.reconnect);
}

function bindForms(actions) {
  byId("sentence").addEventListener("submit", (event) => event.preventDefault());
  byId("key").addEventListener("submit", (event) => {
    event.preventDefault();
    actions.useKey(byId("secret").value.trim());
    byId("secret").value = "";
  });
}

function bindButtons(editor, actions) {
  const onClick = (id, action) => byId(id).addEventListener("click", action);
  onClick("gap", () => editor.addGap());
  onClick("undo", () => {
    editor.undo();
    if (byId("undo").hidden) editor.focus();
  });
  onClick("run", () => {
    actions.scoreAnyway();
    editor.focus(); // the button is gone
  });
  onClick("stop", () => {
    actions.stop();
    editor.focus();
  });
  onClick("more", actions.toggleMore);
  onClick("uncut", actions.readAll);
}

function bindKeys(editor) {
  byId("text").addEventListener("keydown", (event) => {
    const first = byId("results").querySelector(".word, button.token");
    if (event.key !== "ArrowDown" || !editor.atEnd || !first) return;
    event.preventDefault();
    first.focus();
  });
  document.addEventListener("keydown", (event) => {
    const key = event.key.toLowerCase();
    const command = (event.ctrlKey || event.metaKey) && !event.altKey;
    // Other boxes have the browser's own undo.
    const undoable = command && !event.target.matches?.("input[type=text], input[type=password]");
    if (event.altKey && event.code === "KeyM") editor.addGap();
    else if (undoable && key === "z" && !event.shiftKey) editor.undo();
    else if (undoable && (key === "y" || key === "z")) editor.redo();
    else return;
    event.preventDefault();
  });
}
