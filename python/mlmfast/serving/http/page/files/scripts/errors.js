// What went wrong with a request, in the words of this page.

/**
 * A request that failed.
 *
 * wait: seconds after which to try again, or null.
 * state: what the server's state is called: "busy", "lost", "loading", "locked" or "failed".
 * tooLong: for a text that is too long, `{ tokens, max_tokens }`.
 */
export class RequestError extends Error {
  constructor(message, { wait = null, state = "failed", tooLong = null } = {}) {
    super(message);
    Object.assign(this, { wait, state, tooLong });
  }
}

const BY_TYPE = {
  too_many_rows: "Too many words for so many gaps. Show fewer words, or fill some gaps first.",
  too_many_passes: "The model would have to run more often than the server allows. Shorten the text, or fill some gaps first.",
  too_many_targets: "More words than the server compares at once. Remove some.",
  body_too_large: "This is more text than the server takes at once. Shorten it.",
  text_too_long: "This is more text than the server takes at once. Shorten it.",
  no_mask: "This text has no gap yet. Type three underscores where a word is missing.",
  timeout: "The answer took too long, so the server gave up. Try again, or shorten the text.",
  answer_too_large: "The answer would be larger than the server sends. Shorten the text, or show fewer words.",
  model_failed: "The model failed on this text; the server's log says how.",
};

export function lostConnection() {
  return new RequestError("The server cannot be reached. This page goes on by itself once it can.", { wait: 3, state: "lost" });
}

/** The error for an answer of the server; `hadKey`: whether the request had a key. */
export function errorOf(response, body, hadKey) {
  const type = body?.error_type;
  const wait = Number(response.headers.get("Retry-After")) || 2;
  if (type === "too_many_tokens") {
    const { tokens, max_tokens } = body;
    const message = `This text has ${tokens} tokens, and the model reads ${max_tokens} at once.`;
    return new RequestError(message, { tooLong: { tokens, max_tokens } });
  }
  if (BY_TYPE[type]) return new RequestError(BY_TYPE[type]);
  switch (response.status) {
    case 401:
      return new RequestError(hadKey ? "The server does not accept this key." : "", { state: "locked" });
    case 404:
      return new RequestError("The server no longer has this model. Load the page again.");
    case 413:
      return new RequestError(BY_TYPE.body_too_large);
    case 429:
      if (type === "key_rate") return new RequestError("Your key may not send more requests for now. Trying again in a moment …", { wait, state: "busy" });
      return new RequestError("The server is busy. Trying again in a moment …", { wait, state: "busy" });
    case 503:
      if (type === "unloaded") return new RequestError("This model was unloaded. Load the page again for those that are left.");
      return new RequestError("The model is not ready. Trying again in a moment …", { wait, state: "loading" });
    case 502:
    case 504:
      return new RequestError(BY_TYPE.timeout);
    default:
      if (response.status < 500 && body?.error) return new RequestError(body.error);
      return new RequestError(
        `The server failed (status ${response.status}). Its log says why` + (body?.request_id ? `, under ${body.request_id}.` : "."));
  }
}
