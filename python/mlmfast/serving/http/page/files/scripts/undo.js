// The history of the text. The browser's own is lost whenever a script changes a text.

export class History {
  #past = [];
  #future = [];
  #present = { value: "", caret: 0 };
  #typing = false;

  get canUndo() {
    return this.#past.length > 0;
  }

  /** Remember a new state. Letters that are typed one after the other are undone word by word. */
  push(value, caret, { typed = false } = {}) {
    if (value === this.#present.value) {
      this.#present.caret = caret;
      return;
    }
    const wordGoesOn = typed && this.#typing && !/\s$/.test(value.slice(0, caret));
    if (!wordGoesOn) this.#past.push(this.#present);
    this.#typing = typed;
    this.#future = [];
    this.#present = { value, caret };
  }

  /** Correct the present state: the same text for another model. */
  amend(value, caret) {
    this.#present = { value, caret };
  }

  /** Return the state before the present one, or null. */
  undo() {
    return this.#step(this.#past, this.#future);
  }

  /** Return the state that was undone last, or null. */
  redo() {
    return this.#step(this.#future, this.#past);
  }

  #step(from, to) {
    if (!from.length) return null;
    to.push(this.#present);
    this.#typing = false;
    this.#present = from.pop();
    return this.#present;
  }
}
