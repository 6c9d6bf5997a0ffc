// Copy buttons.
import { byId, element } from "./dom.js";

const SHOWN = 2000; // milliseconds that a button says "Copied"

/** Let the page's buttons copy the text, the link and the command. */
export function bindCopyButtons(editor, link) {
  copyOnClick(byId("copy-text"), () => editor.value);
  copyOnClick(byId("copy-link"), link);
  copyOnClick(byId("copy-command"), () => byId("curl").textContent);
}

/** Copy what `content()` returns, and say so in the button and to screen readers. */
function copyOnClick(button, content) {
  const label = button.textContent;
  let timer = 0;
  button.addEventListener("click", async () => {
    const copied = await copy(content());
    button.textContent = copied ? "Copied" : "Not copied";
    byId("announcement").textContent = copied ? "Copied to the clipboard." : "The browser does not allow copying.";
    clearTimeout(timer);
    timer = setTimeout(() => (button.textContent = label), SHOWN);
  });
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/** Browsers offer their clipboard only to pages over HTTPS and of this machine; this works elsewhere too. */
function copyBySelection(text) {
  const focused = document.activeElement;
  const box = element("textarea", { class: "unseen", "aria-hidden": "true", tabindex: "-1" });
  box.value = text;
  document.body.append(box);
  box.select();
  const copied = document.execCommand("copy");
  box.remove();
  focused?.focus();
  return copied;
}
