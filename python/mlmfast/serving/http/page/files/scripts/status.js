// The state of the server: ready, at work, slow, busy, lost.
import { byId } from "./dom.js";

const LABELS = {
  connecting: "Connecting", ready: "Ready", working: "Working", slow: "Slow",
  busy: "Busy", loading: "Loading", lost: "Not reachable", locked: "Locked", failed: "Ready",
};
// Milliseconds. Answers that come sooner would only make the label flicker.
const SHOW_WORKING = 300;
const SHOW_SLOW = 2000;

let timers = [];

/** Show a state; "ready" and the others end what `working` began. */
export function setStatus(state) {
  for (const timer of timers) clearTimeout(timer);
  timers = [];
  byId("progress").hidden = true;
  label(state);
}

/** Show that a request is under way, and after a while for how long, and whether it can be stopped. */
export function working({ stoppable = true } = {}) {
  const started = performance.now();
  for (const timer of timers) clearTimeout(timer);
  const slow = () => {
    // Said once to screen readers; the seconds are for the eyes.
    if (byId("progress").hidden) byId("announcement").textContent = "Still waiting for the answer.";
    byId("progress").hidden = false;
    byId("stop").hidden = !stoppable;
    byId("time").textContent = "";
    label("slow");
    byId("seconds").textContent = `${Math.round((performance.now() - started) / 1000)} s`;
    timers.push(setTimeout(slow, 1000));
  };
  timers = [setTimeout(slow, SHOW_SLOW)];
  if (stoppable) timers.push(setTimeout(label, SHOW_WORKING, "working"));
}

function label(state) {
  byId("status").dataset.state = state;
  byId("status").textContent = LABELS[state];
}
