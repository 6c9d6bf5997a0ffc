// Tokens as people read them, and where they lie in a text.

/** A token's text with its blanks made visible where it has nothing else. */
export function readable(token) {
  const word = token.trim().replace(/^##/, "…").replace(/\p{Cc}/gu, "\ufffd");
  if (word) return word;
  return token === "" ? "(nothing)" : [...token].map((sign) => (sign === "\n" ? "↵" : "␣")).join("");
}

/** The text of several tokens that make one target: as the visitor wrote it, where that can be told. */
export function joinPieces(tokens, words) {
  const joined = tokens.map((token, number) => (number ? token.replace(/^##/, "") : token)).join("");
  // Not every tokenizer tells in its tokens where blanks were.
  const letters = (text) => [...text.replace(/\s/g, "")].map(fold).join("");
  const word = words.find((each) => letters(each) === letters(joined));
  return word ? joined.match(/^\s*/)[0] + word : joined;
}

/**
 * Where each token lies in the text, as [start, end], or null where it cannot be found: models lower-case
 * texts, strip accents and write unknown characters as a token of its own.
 */
export function alignTokens(text, tokens) {
  const plain = [];
  const origin = [];
  let offset = 0;
  for (const sign of text) {
    for (const letter of fold(sign)) {
      plain.push(letter);
      origin.push([offset, offset + sign.length]);
    }
    offset += sign.length;
  }
  const haystack = plain.join("");
  // `indexOf` counts UTF-16 units, so the origins must too.
  const units = plain.flatMap((letter, number) => Array(letter.length).fill(origin[number]));
  let from = 0;
  const spans = tokens.map((token) => {
    if (token && !token.trim() && /\s/.test(haystack[from] ?? "")) {
      from += 1; // a blank that is a token of its own
      return units[from - 1];
    }
    const needle = [...token.replace(/^##/, "").trim()].map(fold).join("");
    const at = needle ? haystack.indexOf(needle, from) : -1;
    // A token that is far away is another one with the same text.
    if (at < 0 || /[\p{L}\p{N}]{3}/u.test(haystack.slice(from, at))) return null;
    from = at + needle.length;
    return [units[at][0], units[from - 1][1]];
  });
  fillRuns(text, spans);
  return spans;
}

/**
 * Give tokens that were not found the text between those that were: a word or a character each where their
 * numbers agree, and otherwise all of it to the first of them.
 */
function fillRuns(text, spans) {
  for (let first = 0; first < spans.length; first += 1) {
    if (spans[first]) continue;
    let last = first;
    while (last + 1 < spans.length && !spans[last + 1]) last += 1;
    const start = first ? spans[first - 1][1] : 0;
    const between = text.slice(start, spans[last + 1]?.[0] ?? text.length);
    const split = [/\S+/g, /\S/gu, /\S(?:[^]*\S)?/g].map((pattern) => [...between.matchAll(pattern)]);
    const parts = split.find((found) => found.length === last - first + 1) ?? split.at(-1);
    parts.forEach((part, at) => (spans[first + at] = [start + part.index, start + part.index + part[0].length]));
    first = last;
  }
}

function fold(sign) {
  const folded = sign.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  return folded || sign;
}

/** A probability with two digits. */
export function percent(probability) {
  if (probability >= 0.0995) return `${(probability * 100).toFixed(0)} %`;
  if (probability >= 0.0001) return `${(probability * 100).toPrecision(2)} %`;
  return "< 0.01 %";
}
