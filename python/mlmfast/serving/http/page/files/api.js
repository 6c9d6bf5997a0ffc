// What the server is asked, and its troubles in plain words.

/** Something went wrong; `wait` seconds help, or a key, or neither. */
export class Trouble extends Error {
  constructor(message, { wait = null, needsKey = false } = {}) {
    super(message);
    this.wait = wait;
    this.needsKey = needsKey;
  }
}

const KEY = "mlmfast-key";

export function useKey(key) {
  sessionStorage.setItem(KEY, key);
}

/** The models: name, mask token, longest text, device. */
export async function models() {
  return (await ask("info")).body.models;
}

/** The candidates of each gap, best first, and the milliseconds until they were here. */
export async function candidates(question, signal) {
  const { body, milliseconds } = await ask("v1/fill-mask", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(question),
    signal,
  });
  return { found: body.masks, milliseconds };
}

async function ask(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { Accept: "application/json", ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
  const begun = performance.now();
  let response, body;
  try {
    response = await fetch(path, { ...options, headers, credentials: "same-origin" });
    body = await response.json().catch(() => null);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble("The server cannot be reached. Once it runs again, this page goes on by itself.", { wait: 3 });
  }
  if (response.ok && body) return { body, milliseconds: performance.now() - begun };
  throw troubleOf(response, body);
}

function troubleOf(response, body) {
  const wait = Number(response.headers.get("Retry-After")) || 2;
  const said = typeof body?.error === "string" ? body.error : body?.error?.message;
  switch (response.status) {
    case 401:
    case 403:
      return new Trouble("", { needsKey: true });
    case 404:
      return new Trouble(said || "The server no longer has this model. Load the page anew.");
    case 413:
      return new Trouble("This is more text than the server takes at once. Make it shorter.");
    case 429:
      return new Trouble("The server has its hands full. Trying again in a moment …", { wait });
    case 503:
      return new Trouble("The model is not ready yet. Trying again in a moment …", { wait });
    case 504:
      return new Trouble("The answer took too long, so the server gave up. Change the text to try again.");
    default:
      if (response.status < 500 && said) return new Trouble(said);
      return new Trouble(`The server failed (status ${response.status}). Its log says why.`);
  }
}
