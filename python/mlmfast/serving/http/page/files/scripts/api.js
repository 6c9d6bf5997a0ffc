// Requests to the server.
import { errorOf, lostConnection, RequestError } from "./errors.js";

const KEY = "mlmfast-key";

export const apiKey = {
  get: () => sessionStorage.getItem(KEY),
  set: (key) => sessionStorage.setItem(KEY, key),
};

/** The models, of which one at least is ready: name, whether ready, mask token, longest text, device. */
export async function fetchModels() {
  const { models } = await request("v1/models");
  if (!models.some((model) => model.ready)) {
    throw new RequestError("The server is still loading its models …", { wait: 1, state: "loading" });
  }
  return models;
}

/** Send a body to one of the server's paths; the answer has `milliseconds`, as this page measured them. */
export async function post(path, body, signal) {
  const started = performance.now();
  const answer = await request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
  return { ...answer, milliseconds: performance.now() - started };
}

async function request(path, options = {}) {
  const key = apiKey.get();
  const headers = { Accept: "application/json", ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
  let response, body;
  try {
    response = await fetch(path, { ...options, headers, credentials: "same-origin" });
    body = await response.json().catch((error) => {
      if (response.ok) throw error; // the connection broke within the answer
      return null;
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw lostConnection();
  }
  if (response.ok && body) return body;
  throw errorOf(response, body, Boolean(key));
}

/** The command that sends the same request from a shell. */
export function curlCommand(path, body) {
  const data = JSON.stringify(body).replaceAll("'", "'\\''");
  const lines = [`curl ${new URL(path, document.baseURI)}`, "-H 'Content-Type: application/json'"];
  // The key itself stays off the screen and out of the shell's history.
  if (apiKey.get()) lines.push('-H "Authorization: Bearer $MLMFAST_API_KEY"');
  return [...lines, `-d '${data}'`].join(" \\\n  ");
}
