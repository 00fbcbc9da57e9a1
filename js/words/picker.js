// The prompt's words as buttons below a words field: a click puts a word in or takes it out.

import { make } from "../lens/dom.js";
import { say } from "../page/texts.js";
import { plain, splitNames, toggled } from "./names.js";

const SEARCH_FROM = 24; // words

export class WordPicker {
  /** on: {pick(names), look()}; many: whether the field takes more than one word; look() is called when the user turns to
   *  the words, which may have changed since. */
  constructor(on, many) {
    this.on = on;
    this.many = many;
    this.shown = null;
    this.buttons = [];
    this.picked = [];
    this.search = make("input", {
      class: "hrv-words-search", type: "search", placeholder: say("words.search"), "aria-label": say("words.search"), hidden: true,
      oninput: () => this.filter(), onkeydown: (event) => event.stopPropagation(),
    });
    this.list = make("div", { class: "hrv-words-list", role: "group", "aria-label": say("words.list") });
    this.list.addEventListener("click", (event) => this.click(event.target.closest("button")));
    this.element = make("div", { class: "hrv-words", "data-capture-wheel": "true", onpointerenter: () => this.on.look() },
      this.search, this.list);
  }

  /** names: what is offered; hint: told instead where there are none; locked: whether the field comes from another node. */
  show(names, hint, locked) {
    const wanted = JSON.stringify([names, hint, locked]);
    if (this.shown === wanted) return;
    this.shown = wanted;
    this.buttons = names.map((name) => make("button", { type: "button", class: "hrv-word", "data-name": name, disabled: locked }, name));
    this.list.replaceChildren(...(names.length ? this.buttons : [make("p", { class: "hrv-words-hint" }, hint)]));
    this.list.title = locked ? say("words.locked") : "";
    this.search.hidden = names.length < SEARCH_FROM;
    this.filter();
    this.mark(this.text ?? "");
  }

  /** Marks the words that the field holds. */
  mark(text) {
    this.text = text;
    this.picked = splitNames(text);
    const keys = new Set(this.picked.map(plain));
    for (const button of this.buttons) button.setAttribute("aria-pressed", String(keys.has(plain(button.dataset.name))));
  }

  click(button) {
    if (!button || button.disabled) return;
    const { name } = button.dataset;
    const had = button.getAttribute("aria-pressed") === "true";
    this.on.pick(this.many ? toggled(this.picked, name) : had ? [] : [name]);
  }

  filter() {
    const wanted = this.search.hidden ? "" : plain(this.search.value);
    for (const button of this.buttons) button.hidden = !plain(button.dataset.name).includes(wanted);
  }

  close() {
    this.element.replaceChildren();
    this.buttons = [];
  }
}
