// What stands around an answer: how long it took, and the command that gets it from a shell.
import { apiKey, curlCommand } from "./api.js";
import { byId } from "./dom.js";

/** Show the details of an answer: `more`: with many candidates; `wasCut`: to a part of the text only. */
export function showDetails(task, body, answer, { more, wasCut }) {
  byId("time").textContent = `${rounded(answer.milliseconds)} ms, ${rounded(answer.timing.run_ms)} in the model`;
  byId("more").hidden = !task.hasMore;
  byId("more").textContent = more ? "Show fewer words" : "Show more words";
  byId("command").hidden = false;
  byId("curl").textContent = curlCommand(task.path, body);
  byId("key-note").hidden = !apiKey.get();
  byId("cut-note").hidden = !wasCut;
}

export function hideDetails() {
  byId("time").textContent = "";
  for (const id of ["more", "command", "cut-note"]) byId(id).hidden = true;
}

function rounded(milliseconds) {
  return milliseconds.toFixed(milliseconds < 9.95 ? 1 : 0);
}
