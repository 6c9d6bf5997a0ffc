// The box that says what went wrong, what to do about it, and when the page tries again.
import { byId } from "./dom.js";

let timer = 0;

/** Say what an error says. `retry` is called after its wait; `cut` shortens a text that is too long. */
export function showNotice(error, { retry, cut }) {
  hideNotice();
  byId("notice").classList.remove("idle");
  byId("trouble").textContent = error.message;
  byId("cut").hidden = !error.tooLong;
  byId("cut").onclick = () => cut(error.tooLong);
  byId("retry").hidden = Boolean(error.tooLong);
  byId("retry").onclick = () => {
    clearTimeout(timer);
    byId("countdown").textContent = "";
    retry();
  };
  if (error.wait) countDown(Math.ceil(error.wait), retry);
}

export function hideNotice() {
  clearTimeout(timer);
  for (const id of ["trouble", "countdown"]) byId(id).textContent = "";
  for (const id of ["cut", "retry", "stale"]) byId(id).hidden = true;
  // Not hidden itself: screen readers hear of what appears in an alert that was there before.
  byId("notice").classList.add("idle");
}

function countDown(seconds, retry) {
  byId("countdown").textContent = seconds ? `Next try in ${seconds} s` : "";
  timer = seconds ? setTimeout(countDown, 1000, seconds - 1, retry) : setTimeout(retry, 0);
}
