// A scored text as a line of tokens: the less probable a token is to the model, the warmer its colour.
import { element, roveFocus } from "./dom.js";
import { alignTokens, percent, readable } from "./tokens.js";

// The coldest colour stands for a probability of 1, the warmest for this one and all below.
const LEAST = 1e-4;
// More tokens than these have no numbers below them, so that they read as a text.
const MOST_NUMBERS = 60;

/**
 * Draw the tokens of a text and what the model makes of it.
 *
 * `explain(place, span, name)` is called when a token is chosen: `place` is an element for what explains it,
 * `span` where it lies in the text, `name` the token and its probability.
 */
export function drawHeat(container, { text, mask }, direction, { score, token_strs, token_scores }, explain) {
  // Gaps are not scored: nothing of them may be taken for a token.
  const spans = alignTokens(text.replaceAll(mask, " ".repeat(mask.length)), token_strs);
  const explanation = element("div", { id: "explanation" });
  const line = element("p", { class: token_strs.length > MOST_NUMBERS ? "heat dense" : "heat", dir: direction });
  line.setAttribute("role", "group");
  line.setAttribute("aria-label", "Tokens with their probabilities");

  let end = 0;
  token_strs.forEach((token_str, number) => {
    const span = spans[number];
    if (span && span[0] > end) line.append(text.slice(end, span[0]));
    const written = span ? text.slice(Math.max(span[0], end), span[1]) : "";
    const shown = written.trim() ? written : span ? readable(token_str) : "…"; // a part of the character before it
    end = span ? Math.max(end, span[1]) : end;
    line.append(token(shown, token_scores[number], span && ((number) => explain(explanation, span, `“${shown}” (${number})`))));
  });
  line.append(text.slice(end));
  if (line.querySelector("button")) roveFocus(line, "button", arrowStep);

  const average = -score / token_scores.length;
  const facts = element("p", { class: "facts" },
    fact("Log-likelihood of the text", minus(score)),
    fact("Per token", minus(-average)),
    fact("Pseudo-perplexity", Math.exp(average).toLocaleString("en", { maximumSignificantDigits: 3 })));
  container.replaceChildren(element("section", { "aria-label": "Score of the text" }, line, legend(), facts,
    element("p", { class: "facts" }, "Choose a token to see what the model expects in its place.")), explanation);
}

function token(shown, logProbability, choose) {
  const probability = Math.exp(logProbability);
  const heat = Math.min(logProbability / Math.log(LEAST), 1);
  const number = percent(probability);
  const content = [element("bdi", {}, shown), element("small", { dir: "ltr" }, number.replaceAll(" ", "\u202f"))];
  const made = choose
    ? element("button", { type: "button", class: "token", title: number, "aria-label": `${shown}, ${number}` }, ...content)
    : element("span", { class: "token", title: number }, ...content);
  made.style.setProperty("--heat", heat.toFixed(3));
  if (choose) made.addEventListener("click", () => {
    for (const other of made.parentElement.querySelectorAll("[aria-pressed]")) other.removeAttribute("aria-pressed");
    made.setAttribute("aria-pressed", "true");
    choose(number);
  });
  return made;
}

function legend() {
  return element("div", { class: "legend", "aria-hidden": "true" },
    ...["100 %", "10 %", "1 %", "0.1 %", "≤ 0.01 %"].map((tick) => element("span", {}, tick)));
}

function fact(name, value) {
  return element("span", {}, `${name} `, element("b", {}, value));
}

function minus(value) {
  return value.toFixed(2).replace("-", "−");
}

function arrowStep(event, buttons, at) {
  const step = getComputedStyle(event.currentTarget).direction === "rtl" ? -1 : 1;
  switch (event.key) {
    case "ArrowRight": return buttons[at + step];
    case "ArrowLeft": return buttons[at - step];
    case "Home": return buttons[0];
    case "End": return buttons.at(-1);
    default: return null;
  }
}
