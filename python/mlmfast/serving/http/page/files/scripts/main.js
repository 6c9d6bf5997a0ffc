// The page: a text, a task, and what a model makes of them.
import { apiKey, fetchModels, post } from "./api.js";
import { drawPanels, focusPanel } from "./bars.js";
import { bindCopyButtons } from "./clipboard.js";
import { hideDetails, showDetails } from "./details.js";
import { byId, element } from "./dom.js";
import { Editor } from "./editor.js";
import { RequestError } from "./errors.js";
import { bindEvents } from "./events.js";
import { gapOffsets, withUnderscores } from "./gaps.js";
import { linkTo, readLink, writeLink } from "./link.js";
import { hideNotice, showNotice } from "./notice.js";
import { setStatus, working } from "./status.js";
import { gapPanel, TASKS } from "./tasks.js";

const LONGEST_WAIT = 30; // seconds between two tries to reach a lost server
const LINK_PAUSE = 400; // milliseconds; browsers refuse to change the address with every key press

const editor = new Editor(byId("text"), byId("mirror"), changed);
const results = byId("results");
const state = {
  models: [],
  model: null,
  task: "each",
  more: false, // many candidates, not few
  truncate: false, // cut a text that is too long around its gaps
  confirmed: null, // the costly text that the visitor asked to be scored
  failures: 0, // tries in a row that did not reach the server
  panelToFocus: null,
  request: null,
  explanation: null,
  timer: 0,
  linkTimer: 0,
};

// ---- The server and its models

async function connect() {
  setStatus("connecting");
  working({ stoppable: false });
  try {
    state.models = await fetchModels();
  } catch (error) {
    return report(error, connect);
  }
  recovered();
  setStatus("ready");
  showKeyForm(false);
  byId("model").replaceChildren(...state.models.map(({ name, ready }) =>
    element("option", { value: name, disabled: !ready }, ready ? name : `${name} (not loaded)`)));
  byId("choice").hidden = state.models.length < 2;
  if (state.model) useModel(state.model.name);
  else openLink();
}

/** Show what the address says; without a word in it, an empty text for the first model. */
function openLink() {
  const { task, model, text, words } = readLink();
  if (task in TASKS) byId(`task-${task}`).checked = true;
  byId("words").value = words ?? "";
  if (text !== null) editor.write(text);
  useTask();
  useModel(model ?? state.model?.name);
  const missing = model && model !== state.model.name;
  byId("link-note").hidden = !missing;
  if (missing) byId("link-note").textContent = `The link names the model ${model}, which this server does not have ready. This is ${state.model.name}.`;
}

function useModel(name) {
  const ready = state.models.filter((model) => model.ready);
  state.model = ready.find((model) => model.name === name) ?? ready[0];
  byId("model").value = state.model.name;
  byId("device").textContent = [state.model.name, state.model.device?.toUpperCase()].filter(Boolean).join(" · ");
  byId("weigh").hidden = !state.model.tasks.includes("sparse");
  if (byId("weigh").hidden && state.task === "weigh") {
    byId("task-each").checked = true;
    useTask();
  }
  editor.useMask(state.model.mask_token, ready.map((model) => model.mask_token));
}

function useTask() {
  state.task = document.querySelector("[name=task]:checked").value;
  state.more = false;
  const { prompt, examples } = TASKS[state.task];
  byId("prompt").textContent = prompt;
  byId("comparison").hidden = state.task !== "compare";
  byId("gap").hidden = Boolean(TASKS[state.task].hasNoGaps);
  byId("examples").replaceChildren(...examples.map(([text, words]) => {
    const button = element("button", { type: "button", class: "plain" }, text);
    button.addEventListener("click", () => {
      if (words) byId("words").value = words;
      editor.write(text);
    });
    return button;
  }));
  clearResults();
}

// ---- From the text to a request

function currentInput() {
  const words = byId("words").value.split(/[,;\n،、]/).map((word) => word.trim());
  return {
    text: editor.value,
    mask: state.model.mask_token,
    model: state.model.name,
    words: [...new Set(words)].filter(Boolean),
    more: state.more,
    truncate: state.truncate,
  };
}

function linkParameters() {
  const { text, mask, model } = currentInput();
  const words = state.task === "compare" ? byId("words").value : "";
  return { task: state.task === "each" ? "" : state.task, model: text ? model : "", text: withUnderscores(text, mask), words };
}

/** Something changed: ask the model after a pause, or say what is missing. */
function changed() {
  clearTimeout(state.timer);
  abort();
  byId("undo").hidden = !editor.canUndo;
  if (!state.model) return;
  clearTimeout(state.linkTimer);
  state.linkTimer = setTimeout(() => writeLink(linkParameters()), LINK_PAUSE);

  const input = currentInput();
  const task = TASKS[state.task];
  const empty = input.text.trim() === "";
  if (empty) state.truncate = false;
  const missing = task.missing(input);
  const costly = missing === null && task.isCostly?.(input) && state.confirmed !== input.text;
  byId("examples").hidden = !empty;
  byId("copy-text").hidden = byId("copy-link").hidden = empty;
  byId("run").hidden = !costly;
  byId("hint").textContent = empty ? task.begin : missing ?? (costly ? "A text of this length takes the model a while." : "");
  if (missing !== null || costly) {
    hideNotice();
    setStatus("ready");
    clearResults();
    return;
  }
  results.setAttribute("aria-busy", "true");
  state.timer = setTimeout(send, task.pause);
}

function abort() {
  state.request?.abort();
  state.explanation?.abort();
  state.request = state.explanation = null;
}

async function send() {
  clearTimeout(state.timer);
  abort();
  const request = (state.request = new AbortController());
  const task = TASKS[state.task];
  const input = currentInput();
  const body = task.body(input);
  results.setAttribute("aria-busy", "true");
  working();
  try {
    const answer = await post(task.path, body, request.signal);
    recovered();
    setStatus("ready");
    show(task, input, body, answer);
    results.removeAttribute("aria-busy");
  } catch (error) {
    if (error.name !== "AbortError") report(error, send);
  }
}

// ---- From an answer to the page

function show(task, input, body, answer) {
  task.draw(results, input, answer, { write, explain, direction: editor.direction });
  showDetails(task, body, answer, { more: state.more, wasCut: input.truncate && answer.tokens >= state.model.max_length });
  byId("announcement").textContent = task.summary(input, answer);
  if (state.panelToFocus !== null) focusPanel(results, state.panelToFocus);
  state.panelToFocus = null;
}

/** Put a chosen word into the text. With the keyboard, it goes on at the list `panel`. */
function write(text, caret, panel) {
  // The words are those for the text as it was.
  if (results.hasAttribute("aria-busy")) return;
  state.panelToFocus = panel;
  editor.write(text, caret);
}

/** Show what the model expects in the place of a scored token. */
async function explain(place, [start, end], name) {
  state.explanation?.abort();
  const request = (state.explanation = new AbortController());
  const { text, mask, model } = currentInput();
  const masked = text.slice(0, start) + mask + text.slice(end);
  const gap = gapOffsets(masked, mask).indexOf(start);
  working();
  try {
    const answer = await post("v1/fill-mask", { model, inputs: masked, top_k: 6, truncate: true }, request.signal);
    const rows = answer.answers[0].masks[gap];
    recovered();
    setStatus("ready");
    drawPanels(place, [{ ...gapPanel({ text: masked, mask }, gap, rows, { write }), name: `Words in place of ${name}` }]);
    place.prepend(element("p", { class: "note" }, `In place of ${name}:`));
    byId("announcement").textContent = `In place of ${name}: ${rows.slice(0, 3).map((row) => row.token_str.trim()).join(", ")}.`;
  } catch (error) {
    if (error.name !== "AbortError") report(error, () => explain(place, [start, end], name));
  }
}

function clearResults() {
  results.replaceChildren();
  results.removeAttribute("aria-busy");
  hideDetails();
  if (state.panelToFocus !== null) editor.focus();
  state.panelToFocus = null;
}

// ---- What goes wrong

/** Say what went wrong; what only needs time is tried again. */
function report(error, retry) {
  if (!(error instanceof RequestError)) {
    setStatus("failed");
    throw error;
  }
  setStatus(error.state);
  byId("time").textContent = "";
  if (error.state === "locked") {
    hideNotice();
    showKeyForm(true, error.message);
    return;
  }
  if (error.state === "lost") {
    error.wait = Math.min(error.wait * 2 ** state.failures++, LONGEST_WAIT);
    retry = connect; // another server may answer then, with other models
  }
  if (!error.wait) clearResults();
  showNotice(error, { retry, cut });
  byId("stale").hidden = !results.hasChildNodes();
}

function recovered() {
  state.failures = 0;
  hideNotice();
}

/** Shorten a text that is too long: the server cuts it around its gaps; one without gaps loses its end. */
function cut({ tokens, max_tokens }) {
  if (state.task !== "score") {
    state.truncate = true;
    changed();
    return;
  }
  const { value } = editor;
  const kept = Math.floor(value.length * 0.95 * Math.max(max_tokens - 2, 1) / tokens);
  editor.write(value.slice(0, kept).replace(/\s+\S*$/, ""));
}

function showKeyForm(visible, message = "") {
  byId("key").hidden = !visible;
  byId("sentence").hidden = visible;
  byId("key-trouble").textContent = message;
  byId("secret").toggleAttribute("aria-invalid", Boolean(message));
  if (visible) {
    clearResults();
    byId("secret").focus();
  }
}

// ---- Start

bindEvents(editor, {
  changed,
  openLink: () => state.model && openLink(),
  reconnect: () => state.failures && connect(),
  useKey(key) {
    apiKey.set(key);
    connect();
  },
  useModel(name) {
    byId("link-note").hidden = true;
    useModel(name);
  },
  useTask() {
    useTask();
    changed();
  },
  scoreAnyway() {
    state.confirmed = editor.value;
    changed();
  },
  toggleMore() {
    state.more = !state.more;
    send();
  },
  readAll() {
    state.truncate = false;
    changed();
  },
  stop() {
    abort();
    setStatus("ready");
    clearResults();
    byId("hint").textContent = "Stopped. Change the text to ask again.";
  },
});
bindCopyButtons(editor, () => linkTo(linkParameters()));
connect();
