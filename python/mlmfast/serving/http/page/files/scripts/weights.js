// The words of a text with their weights, as bars: the heaviest is as long as its row.
import { element } from "./dom.js";
import { readable } from "./tokens.js";

/** A token as the vocabulary writes it, without the sign that some have for the blank before it. */
export function plainToken(token) {
  return readable(token.replace(/^[Ġ▁]/u, ""));
}

/** Whether a word occurs in a text, whatever its case. */
function occurs(text, token) {
  return text.toLowerCase().includes(token.replace(/^(##|[Ġ▁])/u, "").toLowerCase());
}

/** Draw the words of a text; those that the text does not have are marked as added. */
export function drawWeights(container, text, { tokens, weights }) {
  const rows = tokens.map((token, at) => row(plainToken(token), weights[at], weights[0], !occurs(text, token)));
  const list = element("ol", { "aria-label": "Words and their weights" }, ...rows);
  const added = tokens.filter((token) => !occurs(text, token)).length;
  container.replaceChildren(element("section", { "aria-label": "Weights of the words" }, list,
    element("p", { class: "facts" }, rows.length
      ? `${rows.length} words are shown, ${added} of them not in the text.`
      : "No word has a weight.")));
}

function row(word, weight, heaviest, isAdded) {
  const shown = element("span", { class: "weight" },
    element("b", {}, element("bdi", {}, word)),
    ...(isAdded ? [element("small", {}, "added")] : []),
    element("i", {}, weight.toFixed(2)));
  shown.style.setProperty("--share", weight / heaviest);
  return element("li", {}, shown);
}
