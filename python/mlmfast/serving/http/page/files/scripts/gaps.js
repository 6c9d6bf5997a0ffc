// Texts with gaps: what people type for a gap, where the gaps are, and the text with one of them filled.

const CLOSING = /^[.,!?;:%)\]}…]+$/;

/** Where the mask tokens begin. */
export function gapOffsets(text, mask) {
  const offsets = [];
  for (let at = text.indexOf(mask); at >= 0; at = text.indexOf(mask, at + mask.length)) offsets.push(at);
  return offsets;
}

/**
 * Write the model's mask token for everything that stands for a gap: three or more underscores and the mask
 * tokens of all models. Underscores right after a gap belong to it, so that a run of any length is one gap
 * while it is being typed too. Returns the text, and where the caret is then.
 */
export function withMaskTokens(text, caret, mask, others = []) {
  const tokens = [...new Set([mask, ...others, "[MASK]", "<mask>"])].sort((one, other) => other.length - one.length);
  const escaped = tokens.map((token) => token.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const pattern = new RegExp(`(?:_{3,}|${escaped.join("|")})_*`, "g");
  let moved = caret;
  const masked = text.replace(pattern, (typed, offset) => {
    if (offset + typed.length <= caret) moved += mask.length - typed.length;
    else if (offset < caret) moved += offset + mask.length - caret;
    return mask;
  });
  return [masked, moved];
}

/** The text with `___` for each gap, which every model understands. */
export function withUnderscores(text, mask) {
  return text.split(mask).join("___");
}

/** The text with one gap filled by a row of an answer, and where the filled word ends. */
export function fillGap(text, mask, number, row) {
  const at = gapOffsets(text, mask)[number];
  const word = row.token_str.replace(/^##/, "").replace(/^ /, "");
  let before = text.slice(0, at);
  if (/\s$/.test(before)) before = continuesWord(before, word, row) ? before.trimEnd() : before;
  else if (before && row.token_str.startsWith(" ")) before += " ";
  return [before + word + text.slice(at + mask.length), before.length + word.length];
}

/** The text with all gaps filled by a row with one token for each, and where the last of them ends. */
export function fillAllGaps(text, mask, row) {
  return row.token_strs.reduce(
    ([filled], token_str) => fillGap(filled, mask, 0, { token_str, sequence: row.sequence }), [text, 0]);
}

/**
 * Whether a word continues the one before it: its token alone does not tell for every model, but the
 * model's own sentence does.
 */
function continuesWord(before, word, row) {
  const last = before.trimEnd().split(/\s/).at(-1).slice(-16).toLowerCase();
  const sentence = row.sequence.toLowerCase();
  const apart = sentence.includes(`${last} ${word.toLowerCase()}`);
  const joined = last !== "" && sentence.includes(last + word.toLowerCase());
  return apart === joined ? row.token_str.startsWith("##") || CLOSING.test(word) : joined;
}

/** The parts of a text between its gaps, each shortened to some letters beside a gap. */
export function partsAroundGaps(text, mask, letters = 32) {
  const parts = text.split(mask).map((part) => part.replace(/\s+/g, " "));
  return parts.map((part, number) => {
    const head = number ? part.slice(0, letters).replace(/\s\S*$/, "") : "";
    const tail = number < parts.length - 1 ? part.slice(-letters).replace(/^\S*\s/, "") : "";
    return part.length <= letters * (number && number < parts.length - 1 ? 2 : 1) ? part : `${head}…${tail}`;
  });
}

/** The shortened text before and after one gap; other gaps in them are shown as they are typed. */
export function aroundGap(text, mask, number, letters = 32) {
  const at = gapOffsets(text, mask)[number];
  const blank = (part) => part.split(mask).join("___");
  const pair = [blank(text.slice(0, at)), blank(text.slice(at + mask.length))].join(mask);
  return partsAroundGaps(pair, mask, letters);
}
