// A sentence with gaps as plain text: where its mask tokens are, and what it says once one is filled.

// What people type for a gap, whatever the model's own token is.
const TYPED = ["___", "[MASK]", "<mask>"];
const CLOSING = /^[.,!?;:%)\]}…]+$/;

/** Where the mask tokens begin. */
export function gaps(text, mask) {
  const places = [];
  for (let at = text.indexOf(mask); at >= 0; at = text.indexOf(mask, at + mask.length)) places.push(at);
  return places;
}

/** The text with this model's token for every gap, and where the caret is then. */
export function withMask(text, caret, mask, others) {
  for (const typed of [...TYPED, ...others]) {
    if (typed === mask || mask.includes(typed)) continue;
    const before = text.slice(0, caret).split(typed).length - 1;
    text = text.split(typed).join(mask);
    caret += before * (mask.length - typed.length);
  }
  return [text, caret];
}

/** A token as people read it. */
export function shown(token) {
  const word = token.trim().replace(/^##/, "…");
  if (word) return word;
  return token === "" ? "(nothing)" : [...token].map((sign) => (sign === "\n" ? "↵" : "␣")).join("");
}

/**
 * The text with one gap filled, and where the filled word ends.
 *
 * A BERT marks the pieces that go on a word (`##ing`), a RoBERTa those that begin one (" the"): where
 * any candidate begins with a blank, one without goes on the word before.
 */
export function filled(text, mask, number, token, candidates) {
  const at = gaps(text, mask)[number];
  const marked = candidates.some((row) => row.token_str.startsWith(" "));
  const goesOn = token.startsWith("##") || CLOSING.test(token) || (marked && !token.startsWith(" "));
  let before = text.slice(0, at);
  if (goesOn) before = before.trimEnd();
  else if (marked && before && !/\s$/.test(before)) before += " ";
  const word = token.replace(/^##/, "").replace(/^ /, "");
  return [before + word + text.slice(at + mask.length), before.length + word.length];
}

/** A few words on both sides of a gap, other gaps in them shown as such. */
export function around(text, mask, number, letters = 32) {
  const at = gaps(text, mask)[number];
  const cut = (part) => part.split(mask).join("▁").replace(/\s+/g, " ");
  let before = cut(text.slice(0, at));
  let after = cut(text.slice(at + mask.length));
  if (before.length > letters) before = "…" + before.slice(-letters).replace(/^\S*\s/, "");
  if (after.length > letters) after = after.slice(0, letters).replace(/\s\S*$/, "") + "…";
  return [before, after];
}
