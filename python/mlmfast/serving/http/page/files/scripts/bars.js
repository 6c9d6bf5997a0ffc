// Candidates as bars on one scale, from 0 to 100 %. Each list is one tab stop; arrow keys move within and across lists.
import { byId, element, roveFocus } from "./dom.js";
import { percent } from "./tokens.js";

/**
 * Draw lists of candidates.
 *
 * Each panel has `parts`, the text around its gaps; `rows` with `words` (one for each gap), `score` and
 * perhaps a `note`; `name`, what the list is called; `rest`, what all other candidates are called, if their
 * probability is to be shown; and `choose(row, byKeyboard)`.
 */
export function drawPanels(container, panels) {
  container.replaceChildren(...panels.map((panel, number) => section(panel, `${container.id}-${number}`)));
}

/** Put the keyboard on the first candidate of a list. */
export function focusPanel(container, number) {
  const panels = container.querySelectorAll("section");
  panels[Math.min(number, panels.length - 1)]?.querySelector(".word")?.focus();
}

function section({ parts, rows, name, rest, choose }, id) {
  const marks = parts.slice(1).map(() => element("mark", { dir: "auto" }));
  const heading = element("h2", { id, dir: "auto" }, ...parts.flatMap((part, at) => (at ? [marks[at - 1], part] : [part])));
  const list = element("ol", { "aria-label": name });
  const preview = (row) => marks.forEach((mark, at) => (mark.textContent = row ? row.words[at] : "?"));
  // What the keyboard is on, or else the best.
  const resting = () => preview(rows[[...list.querySelectorAll(".word")].indexOf(document.activeElement)] ?? rows[0]);

  for (const row of rows) {
    const button = bar(row);
    button.addEventListener("focus", () => preview(row));
    button.addEventListener("blur", () => preview(rows[0]));
    button.addEventListener("pointerenter", () => preview(row));
    button.addEventListener("pointerleave", resting);
    button.addEventListener("click", (event) => choose(row, event.detail === 0));
    list.append(element("li", {}, button));
  }
  const others = 1 - rows.reduce((sum, row) => sum + row.score, 0);
  if (rest && others > 0.00005) list.append(element("li", { class: "rest" }, share(element("span", {}, rest), others)));
  preview(rows[0]);
  roveFocus(list, ".word", arrowStep);
  return element("section", { "aria-labelledby": id }, heading, scale(), list);
}

function bar({ words, score, note }) {
  const text = words.join(" · ");
  const label = element("b", {}, ...words.flatMap((word, at) => [at ? " · " : "", element("bdi", {}, word)]));
  const button = element("button", {
    type: "button", class: "word", "aria-label": [text, percent(score), note].filter(Boolean).join(", "),
  }, label, ...(note ? [element("small", {}, note)] : []));
  return share(button, score);
}

/** Give an element the bar of a probability, and its number. */
function share(target, score) {
  const box = target.tagName === "BUTTON" ? target : element("span", { class: "share" }, target);
  box.append(element("i", {}, percent(score)));
  box.style.setProperty("--share", Math.min(score, 1));
  return box;
}

function scale() {
  return element("div", { class: "scale", "aria-hidden": "true" },
    ...["0", "25", "50", "75", "100 %"].map((tick) => element("span", {}, tick)));
}

function arrowStep(event, buttons, rank) {
  const sections = [...event.currentTarget.closest("section").parentElement.querySelectorAll("section")];
  const here = sections.indexOf(event.currentTarget.closest("section"));
  const beside = (step) => {
    const words = sections[here + step]?.querySelectorAll(".word");
    return words?.[Math.min(rank, words.length - 1)];
  };
  switch (event.key) {
    case "ArrowDown": return buttons[rank + 1];
    case "ArrowUp": return rank ? buttons[rank - 1] : byId("text");
    case "Home": return buttons[0];
    case "End": return buttons.at(-1);
    case "ArrowLeft": return beside(-1);
    case "ArrowRight": return beside(1);
    default: return null;
  }
}
