// The candidates as bars. One tab stop a gap; arrow keys go up and down in it, and across to the others.
import { around, shown } from "./text.js";

/** Draw the candidates of all gaps; `choose(gap, row)` is called for the one that is picked. */
export function draw(place, text, mask, found, choose) {
  const most = Math.max(...found.flat().map((row) => row.score), Number.MIN_VALUE);
  place.replaceChildren(...found.map((rows, gap) => panel(text, mask, gap, rows, most, choose)));
}

/** Put the keyboard on the best word of a gap. */
export function focusOn(place, gap) {
  place.children[gap]?.querySelector(".word")?.focus();
}

function panel(text, mask, gap, rows, most, choose) {
  const [before, after] = around(text, mask, gap);
  const preview = element("mark", {}, rows.length ? shown(rows[0].token_str) : "?");
  const heading = element("h2", { id: `gap-${gap}` }, before, preview, after);
  const list = element("ol", { "aria-label": `Words for gap ${gap + 1}` });
  rows.forEach((row, rank) => {
    const word = bar(row, rank, most);
    const show = () => (preview.textContent = shown(row.token_str));
    word.addEventListener("focus", () => {
      for (const other of list.querySelectorAll(".word")) other.tabIndex = other === word ? 0 : -1;
      show();
    });
    word.addEventListener("pointerenter", show);
    word.addEventListener("click", () => choose(gap, row));
    list.append(element("li", {}, word));
  });
  list.addEventListener("keydown", (event) => move(event, list));
  return element("section", { "aria-labelledby": heading.id }, heading, list);
}

function bar(row, rank, most) {
  const share = percent(row.score);
  const word = element("button", { type: "button", class: "word", tabindex: rank ? -1 : 0 },
    element("b", {}, shown(row.token_str)), element("i", {}, share));
  word.setAttribute("aria-label", `${shown(row.token_str)}, ${share}`);
  word.style.setProperty("--share", row.score / most);
  return word;
}

function percent(score) {
  if (score >= 0.0995) return `${(score * 100).toFixed(0)} %`;
  if (score >= 0.0001) return `${(score * 100).toPrecision(2)} %`;
  return "< 0.01 %";
}

function move(event, list) {
  const words = [...list.querySelectorAll(".word")];
  const rank = words.indexOf(document.activeElement);
  const panels = [...list.closest("#answers").children];
  const gap = panels.indexOf(list.parentElement);
  const beside = (step) => panels[gap + step]?.querySelectorAll(".word")[rank];
  const to = {
    ArrowDown: words[rank + 1],
    ArrowUp: words[rank - 1],
    Home: words[0],
    End: words.at(-1),
    ArrowLeft: beside(-1),
    ArrowRight: beside(1),
  }[event.key];
  if (event.key === "ArrowUp" && rank === 0) document.getElementById("text").focus();
  else if (to) to.focus();
  else return;
  event.preventDefault();
}

export function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
