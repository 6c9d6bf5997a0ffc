// What the page can do with a text: what is sent to the server, and how its answer is shown.
import { drawPanels } from "./bars.js";
import { aroundGap, fillAllGaps, fillGap, gapOffsets, partsAroundGaps } from "./gaps.js";
import { drawHeat } from "./heat.js";
import { joinPieces, percent, readable } from "./tokens.js";
import { drawWeights, plainToken } from "./weights.js";

const FEW = 6;
const MANY = 24;
const WEIGHTS = 12;
const MOST_WEIGHTS = 100;
const NO_GAP = "No gap yet. Select a word and press “Add a gap”, or type three underscores.";
const BEGIN = "Type, or begin with one of these. Three underscores make a gap.";

/**
 * The tasks by name. Each has
 *
 * prompt, begin, examples: what is said before there is an answer; an example is a text, perhaps with words;
 * path: where requests go;
 * hasNoGaps: whether gaps mean nothing to it;
 * pause: milliseconds without a key press before the model is asked;
 * missing(input): what the text still needs, or null;
 * body(input): the request;
 * draw(container, input, answer, page): shows the answer; `page` offers `write(text, caret, panel)`,
 *   `explain(place, span, name)` and `direction`;
 * summary(input, answer): the answer in a sentence, for screen readers.
 *
 * An input is { text, mask, model, words, more, truncate }.
 */
export const TASKS = {
  each: {
    prompt: "Write a sentence with a gap",
    begin: BEGIN,
    examples: [["The Milky Way is a ___ galaxy."], ["Paris is the ___ of France."], ["She poured the ___ and opened a ___."]],
    path: "v1/fill-mask",
    pause: 120,
    hasMore: true,
    missing: needsGap,
    body: (input) => ({ ...common(input), top_k: input.more ? MANY : FEW, ...cut(input) }),
    draw(container, input, answer, page) {
      drawPanels(container, answer.answers[0].masks.map((rows, gap) => gapPanel(input, gap, rows, page)));
    },
    summary: (_input, answer) => summaryOfGaps(answer.answers[0].masks),
  },

  together: {
    prompt: "Write a sentence with several gaps",
    begin: "Type, or begin with one of these. The gaps are filled together, so that the words fit each other.",
    examples: [["She poured the ___ and opened a ___."], ["The ___ of ___ is Paris."], ["He ___ his ___ at home."]],
    path: "v1/fill",
    pause: 300,
    hasMore: true,
    missing: needsGap,
    body: (input) => ({ ...common(input), top_k: input.more ? MANY : FEW, ...cut(input) }),
    draw(container, { text, mask }, answer, page) {
      const { fillings } = answer.answers[0];
      drawPanels(container, [{
        parts: partsAroundGaps(text, mask, fillings[0]?.tokens.length > 1 ? 24 : 32),
        rows: fillings.map((row) => ({ ...row, words: row.token_strs.map(readable) })),
        name: "Words for all gaps together",
        rest: "all other combinations",
        choose: (row, byKeyboard) => page.write(...fillAllGaps(text, mask, row), byKeyboard ? 0 : null),
      }]);
    },
    summary: (_input, answer) => answer.answers[0].fillings.slice(0, 1)
      .map((row) => `Best: ${row.token_strs.map(readable).join(", ")}, ${percent(row.score)}.`).join(""),
  },

  compare: {
    prompt: "Write a sentence with a gap",
    begin: BEGIN,
    examples: [["Paris is the ___ of France.", "capital, heart, largest city"], ["The ___ is in the hospital.", "doctor, nurse, patient"],
      ["He drove the ___ home.", "car, bus, bicycle, spaceship"]],
    path: "v1/fill-mask",
    pause: 300,
    missing: (input) => needsGap(input) ?? (input.words.length ? null : "Write the words to compare, with commas between them."),
    body: (input) => ({ ...common(input), targets: targets(input), whole_targets: true, top_k: input.words.length, ...cut(input) }),
    draw(container, input, answer, page) {
      drawPanels(container, comparisons(input, answer).map((rows, gap) => {
        const noted = rows.map((row, rank) => ({ ...row, note: rank ? ratio(rows[0].score, row.score) : null }));
        return gapPanel(input, gap, noted, page);
      }));
    },
    summary: (input, answer) => summaryOfGaps(comparisons(input, answer)),
  },

  score: {
    prompt: "Write a sentence to score",
    begin: "Type, or begin with one of these. Each token is hidden in turn, and the model says how probable it is there.",
    examples: [["The Milky Way is a spiral galaxy."], ["The Milky Way is a spiral sandwich."], ["Paris is the capital of Germany."]],
    path: "v1/score",
    pause: 500,
    hasNoGaps: true,
    // A pass of the model for each token: a long text is scored when the visitor says so.
    isCostly: ({ text }) => text.length > 400,
    missing: ({ text, mask }) => (text.split(mask).join("").trim() ? null : "Nothing to score yet: write a word."),
    body: (input) => ({ ...common(input), method: "word_l2r", per_token: true }),
    draw(container, input, answer, page) {
      drawHeat(container, input, page.direction, answer.answers[0], page.explain);
    },
    summary(_input, { answers: [{ score, token_strs, token_scores }] }) {
      const least = token_scores.indexOf(Math.min(...token_scores));
      return `Log-likelihood ${score.toFixed(2).replace("-", "−")}. Least probable: ${readable(token_strs[least])}, ${percent(Math.exp(token_scores[least]))}.`;
    },
  },

  // Only where the model has a sparse encoder.
  weigh: {
    prompt: "Write a text to weigh",
    begin: "Type, or begin with one of these. The bars are the words under which a search would find the text.",
    examples: [["How do planes fly?"], ["The Milky Way is a spiral galaxy."], ["Why is the sky blue?"]],
    path: "v1/sparse",
    pause: 300,
    hasMore: true,
    hasNoGaps: true,
    missing: ({ text }) => (text.trim() ? null : "Nothing to weigh yet: write a word."),
    body: (input) => ({ ...common(input), top_k: input.more ? MOST_WEIGHTS : WEIGHTS }),
    draw(container, { text }, answer) {
      drawWeights(container, text, answer.answers[0]);
    },
    summary: (_input, { answers: [{ tokens }] }) =>
      (tokens.length ? `Heaviest: ${tokens.slice(0, 3).map(plainToken).join(", ")}.` : "No word has a weight."),
  },
};

/** The panel of one gap: its candidates, and the text around it. */
export function gapPanel({ text, mask }, gap, rows, page) {
  return {
    parts: aroundGap(text, mask, gap),
    rows: rows.map((row) => ({ ...row, words: [readable(row.token_str)] })),
    name: `Words for gap ${gap + 1}`,
    // Targets of several tokens are not alternatives within one distribution.
    rest: rows.every((row) => !(row.tokens?.length > 1)) && "all other words",
    // The next gap has this number once this one is filled.
    choose: (row, byKeyboard) => page.write(...fillGap(text, mask, gap, row), byKeyboard ? gap : null),
  };
}

function needsGap({ text, mask }) {
  return text.includes(mask) ? null : NO_GAP;
}

function common({ model, text }) {
  return { model, inputs: text };
}

function cut({ truncate }) {
  return truncate ? { truncate } : {};
}

/** A word after a blank starts with it: byte-level vocabularies tell such words from those that begin a text. */
function targets({ text, mask, words }) {
  const afterBlank = gapOffsets(text, mask).some((at) => /\s/.test(text[at - 1] ?? ""));
  return words.map((word) => (afterBlank && !word.startsWith("##") ? ` ${word}` : word));
}

/** The rows of each gap, with the text of each target. */
function comparisons({ words }, answer) {
  return answer.answers[0].masks.map((rows) => rows.map((row) => ({ ...row, token_str: joinPieces(row.token_strs, words) })));
}

function ratio(best, score) {
  const times = best / score;
  if (!(times < 1e6)) return "over a million times less probable";
  return times < 1.05 ? "as probable" : `${Number(times.toPrecision(2)).toLocaleString("en")} times less probable`;
}

function summaryOfGaps(masks) {
  return masks.map((rows, gap) =>
    (rows.length ? `Gap ${gap + 1} of ${masks.length}: ${readable(rows[0].token_str)}, ${percent(rows[0].score)}.` : "")).join(" ");
}
