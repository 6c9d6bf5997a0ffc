// The link to what the page shows. It lies behind the `#`, which browsers do not send: texts stay out of logs.

const KEYS = ["task", "model", "text", "words"];

/** The parameters in the page's address. */
export function readLink() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(KEYS.map((key) => [key, parameters.get(key)]));
}

/** The page's address with these parameters. */
export function linkTo(parameters) {
  const kept = KEYS.filter((key) => parameters[key]).map((key) => [key, parameters[key]]);
  // Encoded as in an address, with %20 for a blank, so that chat programs recognize all of it as a link.
  const hash = kept.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&");
  return location.href.split("#")[0] + (hash && `#${hash}`);
}

/** Put the parameters into the page's address, without an entry in the browser's history. */
export function writeLink(parameters) {
  history.replaceState(null, "", linkTo(parameters));
}
