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
  const word = token.trim().replace(/^##/, "…").replace(/\p{Cc}/gu, "\ufffd");
  if (word) return word;
  return token === "" ? "(nothing)" : [...token].map((sign) => (sign === "\n" ? "↵" : "␣")).join("");
}

/** The text with one gap filled by a row of the answer, and where the filled word ends. */
export function filled(text, mask, number, row) {
  const at = gaps(text, mask)[number];
  const word = row.token_str.replace(/^##/, "").replace(/^ /, "");
  let before = text.slice(0, at);
  if (/\s$/.test(before)) before = goesOn(before, word, row) ? before.trimEnd() : before;
  else if (before && row.token_str.startsWith(" ")) before += " ";
  return [before + word + text.slice(at + mask.length), before.length + word.length];
}

/**
 * Whether a word continues the one before it: its token alone does not tell for every model, but the
 * model's own sentence does.
 */
function goesOn(before, word, row) {
  const last = before.trimEnd().split(/\s/).at(-1).slice(-16).toLowerCase();
  const sentence = row.sequence.toLowerCase();
  const apart = sentence.includes(`${last} ${word.toLowerCase()}`);
  const joined = last !== "" && sentence.includes(last + word.toLowerCase());
  return apart === joined ? row.token_str.startsWith("##") || CLOSING.test(word) : joined;
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
