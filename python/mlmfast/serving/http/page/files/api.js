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
  const { models: found } = (await ask("v1/models")).body;
  if (found.every((model) => model.ready)) return found;
  throw new Trouble("The server is still loading its models …", { wait: 1 });
}

/** The candidates of each gap, best first; the milliseconds in all, and those in the model. */
export async function candidates(question, signal) {
  const { body, total } = await ask("v1/fill-mask", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(question),
    signal,
  });
  return { found: body.answers[0].masks, total, model: body.timing.run_ms };
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
  if (response.ok && body) return { body, total: performance.now() - begun };
  throw troubleOf(response, body);
}

function troubleOf(response, body) {
  const wait = Number(response.headers.get("Retry-After")) || 2;
  const said = body?.error;
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
      return new Trouble(`The server failed (status ${response.status}). Its log says why: ${body?.request_id ?? ""}`);
  }
}
