// The page: a sentence, its gaps, and the words that a model puts into them.
import { candidates, models, Trouble, useKey } from "./api.js";
import { filled, gaps, shown, withMask } from "./text.js";
import { draw, element, focusOn } from "./words.js";

const PAUSE = 120; // milliseconds without a key press before the model is asked
const FEW = 6;
const MANY = 24;
const EXAMPLES = [
  "The Milky Way is a ___ galaxy.",
  "Paris is the ___ of France.",
  "She poured the ___ and opened a ___.",
];

const at = (id) => document.getElementById(id);
const text = at("text");
const page = { models: [], model: null, rows: FEW, past: [], asked: null, timer: 0, focus: null };

async function begin() {
  try {
    page.models = await models();
  } catch (error) {
    return report(error, begin);
  }
  report(null);
  at("model").replaceChildren(...page.models.map(({ name }) => element("option", { value: name }, name)));
  at("examples").replaceChildren(...EXAMPLES.map((example) => {
    const button = element("button", { type: "button", class: "plain" }, example);
    button.addEventListener("click", () => write(...withOwnMask(example, example.length)));
    return button;
  }));
  choose(page.models[0]);
}

function choose(model) {
  page.model = model;
  at("choice").hidden = page.models.length < 2;
  at("device").textContent = [model.name, model.device?.toUpperCase()].filter(Boolean).join(" · ");
  changed();
}

function withOwnMask(value, caret) {
  return withMask(value, caret, page.model.mask_token, page.models.map((model) => model.mask_token));
}

/** Put a text into the box by program; `undo` takes it back. */
function write(value, caret) {
  page.past.push([text.value, text.selectionEnd]);
  text.value = value;
  text.setSelectionRange(caret, caret);
  changed();
}

function undo() {
  const [value, caret] = page.past.pop();
  text.value = value;
  text.setSelectionRange(caret, caret);
  changed();
}

function addGap() {
  const mask = page.model?.mask_token;
  if (!mask) return;
  const { selectionStart: start, selectionEnd: end, value } = text;
  const picked = value.slice(start, end);
  const [left, right] = picked.trim() ? picked.match(/^(\s*)[^]*?(\s*)$/).slice(1) : ["", ""];
  const before = value.slice(0, start) + left;
  const blank = before && !picked && !/[\s([{"'“‘-]$/.test(before) ? " " : "";
  write(before + blank + mask + right + value.slice(end), (before + blank + mask).length);
  text.focus();
}

function changed() {
  if (!page.model) return mirror("");
  const [value, caret] = withOwnMask(text.value, text.selectionEnd);
  if (value !== text.value) {
    text.value = value;
    text.setSelectionRange(caret, caret);
  }
  mirror(page.model.mask_token);
  at("undo").hidden = !page.past.length;
  at("examples").hidden = value.trim() !== "";
  const open = gaps(value, page.model.mask_token).length;
  at("hint").textContent = open ? "" : value.trim()
    ? "No gap yet. Select a word and press “Add a gap”, or type three underscores."
    : "Type, or begin with one of these. Three underscores make a gap.";
  clearTimeout(page.timer);
  page.asked?.abort();
  if (open) {
    at("answers").setAttribute("aria-busy", "true");
    page.timer = setTimeout(ask, PAUSE);
  } else clear();
}

function mirror(mask) {
  const parts = mask ? text.value.split(mask) : [text.value];
  const pieces = parts.flatMap((part, number) => (number ? [element("mark", {}, mask), part] : [part]));
  at("mirror").replaceChildren(...pieces, "\u200b");
}

/** Take the words away, and what goes with them. */
function empty() {
  at("answers").replaceChildren();
  at("time").textContent = "";
  at("more").hidden = at("request").hidden = true;
}

function clear() {
  report(null);
  empty();
  at("answers").removeAttribute("aria-busy");
  if (page.focus !== null) text.focus();
  page.focus = null;
}

async function ask() {
  const { model, rows } = page;
  const question = { model: model.name, inputs: text.value, top_k: rows };
  page.asked?.abort();
  page.asked = new AbortController();
  at("answers").setAttribute("aria-busy", "true");
  try {
    const answer = await candidates(question, page.asked.signal);
    report(null);
    show(question, answer);
  } catch (error) {
    if (error.name === "AbortError") return;
    report(error, ask);
    if (!error.wait) {
      empty();
      page.rows = FEW; // so many may have been the trouble
    }
  }
  at("answers").removeAttribute("aria-busy");
}

function show(question, { found, total, model }) {
  const mask = page.model.mask_token;
  draw(at("answers"), question.inputs, mask, found, fill);
  at("time").textContent = `${rounded(total)} ms, ${rounded(model)} in the model`;
  at("more").hidden = false;
  at("more").textContent = page.rows === FEW ? "Show more words" : "Show fewer words";
  at("request").hidden = false;
  at("request").querySelector("code").textContent = curl(question);
  at("said").textContent = found
    .map((rows, gap) => (rows.length ? `Gap ${gap + 1} of ${found.length}: ${shown(rows[0].token_str)}.` : ""))
    .join(" ");
  if (page.focus !== null) focusOn(at("answers"), Math.min(page.focus, found.length - 1));
  page.focus = null;
}

function rounded(milliseconds) {
  return milliseconds.toFixed(milliseconds < 9.95 ? 1 : 0);
}

function fill(gap, row) {
  // These are words for the text as it was.
  if (at("answers").hasAttribute("aria-busy")) return;
  page.focus = gap; // the next gap moves up to this number once this one is filled
  write(...filled(text.value, page.model.mask_token, gap, row));
}

function curl(question) {
  const address = new URL("v1/fill-mask", document.baseURI);
  const body = JSON.stringify(question).replaceAll("'", "'\\''");
  return `curl ${address} \\\n  -H 'Content-Type: application/json' \\\n  -d '${body}'`;
}

/** Say what went wrong, or with null that all is well; what only needs time is tried `again`. */
function report(error, again) {
  clearTimeout(page.timer);
  if (error && !(error instanceof Trouble)) throw error;
  at("key").hidden = !error?.needsKey;
  at("trouble").textContent = error?.message ?? "";
  if (error?.needsKey) at("secret").focus();
  if (error) at("time").textContent = "";
  if (error?.wait) page.timer = setTimeout(again, error.wait * 1000);
}

text.addEventListener("input", () => {
  page.past.length = 0;
  changed();
});
text.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" && text.selectionEnd === text.value.length && at("answers").children.length) {
    event.preventDefault();
    focusOn(at("answers"), 0);
  }
});
at("model").addEventListener("change", (event) => choose(page.models[event.target.selectedIndex]));
at("gap").addEventListener("click", addGap);
at("undo").addEventListener("click", () => {
  undo();
  if (at("undo").hidden) text.focus();
});
at("more").addEventListener("click", () => {
  page.rows = page.rows === FEW ? MANY : FEW;
  ask();
});
at("sentence").addEventListener("submit", (event) => event.preventDefault());
at("key").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(at("secret").value);
  at("secret").value = "";
  at("key").hidden = true;
  if (page.model) ask();
  else begin();
});
document.addEventListener("keydown", (event) => {
  if (event.altKey && event.code === "KeyM") addGap();
  else if ((event.ctrlKey || event.metaKey) && !event.shiftKey && event.key === "z" && page.past.length) undo();
  else return;
  event.preventDefault();
});

begin();
