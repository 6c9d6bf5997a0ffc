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
    const needle = [...token.replace(/^##/, "").trim()].map(fold).join("");
    const at = needle ? haystack.indexOf(needle, from) : -1;
    // A token that is far away is another one with the same text.
    if (at < 0 || /[\p{L}\p{N}]{3}/u.test(haystack.slice(from, at))) return null;
    from = at + needle.length;
    return [units[at][0], units[from - 1][1]];
  });
  return spans.map((span, number) => span ?? textBetween(text, spans, number));
}

/** What lies between the tokens around one that was not found, if it is the first of those between them. */
function textBetween(text, spans, number) {
  if (number && !spans[number - 1]) return null;
  const start = number ? spans[number - 1][1] : 0;
  const end = spans.slice(number).find(Boolean)?.[0] ?? text.length;
  const between = text.slice(start, end);
  if (!between.trim()) return null;
  return [end - between.trimStart().length, start + between.trimEnd().length];
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
