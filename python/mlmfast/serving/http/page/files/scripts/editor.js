// The text box: gaps become mask tokens while they are typed, and a mirror behind the box paints them.
import { element } from "./dom.js";
import { withMaskTokens } from "./gaps.js";
import { History } from "./undo.js";

// Longer texts are set in the size of a text to read, not of a headline.
const LONG = 160;

export class Editor {
  #box;
  #mirror;
  #changed;
  #history = new History();
  #mask = "";
  #others = [];

  constructor(box, mirror, changed) {
    this.#box = box;
    this.#mirror = mirror;
    this.#changed = changed;
    box.addEventListener("input", (event) => {
      if (event.isComposing) this.#paint();
      else this.#update({ typed: event.inputType === "insertText" });
    });
    // Input methods compose a word letter by letter, and the text must not change under their hands.
    box.addEventListener("compositionend", () => this.#update());
  }

  get value() {
    return this.#box.value;
  }

  get direction() {
    return getComputedStyle(this.#mirror).direction;
  }

  get canUndo() {
    return this.#history.canUndo;
  }

  focus() {
    this.#box.focus();
  }

  /** Whether the keyboard is in the box with nothing after the caret. */
  get atEnd() {
    return document.activeElement === this.#box && this.#box.selectionEnd === this.value.length;
  }

  /** Use a model's mask token, in place of those of the other models. */
  useMask(mask, others) {
    this.#mask = mask;
    this.#others = others;
    this.#update({ amends: true });
  }

  /** Replace the text; undo takes that back. */
  write(value, caret = value.length) {
    this.#set(value, caret);
    this.#update();
  }

  undo() {
    this.#restore(this.#history.undo());
  }

  redo() {
    this.#restore(this.#history.redo());
  }

  /** Put a gap at the caret, or in place of the selected words. */
  addGap() {
    if (!this.#mask) return;
    const { selectionStart: start, selectionEnd: end, value } = this.#box;
    const picked = value.slice(start, end);
    const [left, right] = picked.trim() ? picked.match(/^(\s*)[^]*?(\s*)$/).slice(1) : ["", ""];
    const before = value.slice(0, start) + left;
    const blank = before && !picked && !/[\s([{"'“‘-]$/.test(before) ? " " : "";
    this.write(before + blank + this.#mask + right + value.slice(end), (before + blank + this.#mask).length);
    this.focus();
  }

  #restore(state) {
    if (!state) return;
    this.#set(state.value, state.caret);
    this.#update({ amends: true });
  }

  #set(value, caret) {
    this.#box.value = value;
    this.#box.setSelectionRange(caret, caret);
  }

  #update({ typed = false, amends = false } = {}) {
    const box = this.#box;
    if (this.#mask) {
      const [value, caret] = withMaskTokens(box.value, box.selectionEnd, this.#mask, this.#others);
      if (value !== box.value) this.#set(value, caret);
    }
    if (amends) this.#history.amend(box.value, box.selectionEnd);
    else this.#history.push(box.value, box.selectionEnd, { typed });
    this.#paint();
    this.#changed();
  }

  #paint() {
    const { value } = this.#box;
    const parts = this.#mask ? value.split(this.#mask) : [value];
    // With a `dir` of their own, gaps do not count for the direction of the text, which follows its words.
    const gap = () => element("mark", { dir: "ltr" }, this.#mask);
    this.#mirror.replaceChildren(...parts.flatMap((part, number) => (number ? [gap(), part] : [part])), "\u200b");
    this.#mirror.parentElement.classList.toggle("long", value.length > LONG);
    this.#box.dir = value ? this.direction : "auto";
  }
}
