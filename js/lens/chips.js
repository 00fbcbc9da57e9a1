// The prompt's words below the picture: point, walk with the arrow keys, click to pin, search.

import { say } from "../page/texts.js";
import { plain } from "../words/names.js";
import { make } from "./dom.js";

let lists = 0;

export class Chips {
  /** on: {point(index or null), pin(name), clear()} */
  constructor(on) {
    this.on = on;
    this.prefix = `hrv-lens-${++lists}-`;
    this.items = [];
    this.hidden = new Set();
    this.active = null;
    this.list = make("div", {
      class: "hrv-chips", role: "listbox", tabindex: "0", "aria-multiselectable": "true", "aria-label": say("words.list"),
      "data-capture-wheel": "true",
      onkeydown: (event) => this.key(event),
      onpointerleave: () => this.point(null),
      onblur: () => this.point(null),
    });
    this.list.addEventListener("pointerover", (event) => this.point(this.indexOf(event.target)));
    this.list.addEventListener("click", (event) => {
      const index = this.indexOf(event.target);
      if (index !== null) this.on.pin(this.items[index].name);
    });
    this.search = make("input", {
      class: "hrv-search", type: "search", placeholder: say("words.search"), "aria-label": say("words.search"),
      oninput: () => this.filter(),
      onkeydown: (event) => this.searchKey(event),
    });
  }

  /** names: the entries of the last run; missing: pinned names that are not among them; asked: places of words that are not in the prompt. */
  show(names, missing, asked = []) {
    this.point(null);
    const chip = (name, index, absent) => {
      const bar = make("span", { class: "hrv-bar" });
      const meter = make("span", { class: "hrv-meter" }, make("span"));
      const title = absent ? say("lens.absent", { word: name }) : name;
      const element = make("div", { class: "hrv-chip", role: "option", id: this.prefix + index, title },
        bar, make("span", { class: "hrv-name" }, name), meter);
      element.classList.toggle("hrv-missing", absent);
      element.classList.toggle("hrv-asked", asked.includes(index));
      return { name, asked: asked.includes(index), key: plain(name), element, bar, meter, absent };
    };
    this.items = [
      ...names.map((name, i) => chip(name, i, false)),
      ...missing.map((name, i) => chip(name, names.length + i, true)),
    ];
    this.list.replaceChildren(...this.items.map((item) => item.element));
    this.search.hidden = this.items.length < 12;
    this.filter();
  }

  /** Leaves out the chips at these places. */
  hide(places) {
    this.hidden = places;
    this.filter();
  }

  /** Scores of the words, 0 to 100 each, or undefined where a map has not come yet. */
  score(scores) {
    for (let i = 0; i < scores.length; i++) {
      const { element, name, meter, asked } = this.items[i];
      if (this.items[i].score === scores[i]) continue;
      this.items[i].score = scores[i];
      meter.firstChild.style.width = `${scores[i] ?? 0}%`;
const word = asked ? `${name} (${say("tiles.asked")})` : name;
      element.title = scores[i] === undefined ? say("lens.chipLoading", { word }) : say("lens.chip", { word, score: Math.round(scores[i]) });
    }
  }

  /** Marks pinned chips; `pinned`: a set of plain names. */
  mark(pinned) {
    for (const item of this.items) {
      const on = pinned.has(item.key);
      item.element.classList.toggle("hrv-pinned", on);
      item.element.setAttribute("aria-selected", String(on));
    }
  }

  /** Bars for shares at one point, all on one scale, which grows by doubling so that bars can be compared from place to
   *  place; null takes them away. */
  bars(shares, leading) {
    this.list.classList.toggle("hrv-measuring", Boolean(shares));
    if (!shares) return;
    const count = Math.max(1, shares.length - this.hidden.size - this.items.filter(({ asked }) => asked).length);
    const least = 3 / count;
    const full = least * 2 ** Math.ceil(Math.max(0, Math.log2((shares[leading] ?? 0) / least)));
    const mark = String(1 / count / full);
    if (this.marked !== mark) this.list.style.setProperty("--hrv-mark", (this.marked = mark));
    for (let i = 0; i < shares.length; i++) {
      const { bar, element } = this.items[i];
      bar.style.transform = `scaleX(${(shares[i] / full).toFixed(4)})`;
      const lit = shares[i] >= 1 / count;
      if (this.items[i].lit !== lit) element.classList.toggle("hrv-lit", (this.items[i].lit = lit));
    }
  }

  /** Makes one chip the one that is looked at. */
  point(index) {
    if (index === this.active) return;
    this.items[this.active]?.element.classList.remove("hrv-active");
    this.active = index;
    const item = this.items[index];
    item?.element.classList.add("hrv-active");
    if (item) this.list.setAttribute("aria-activedescendant", item.element.id);
    else this.list.removeAttribute("aria-activedescendant");
    this.on.point(item && !item.absent ? index : null);
  }

  key(event) {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in steps) this.walk(steps[event.key]);
    else if (event.key === "Enter" || event.key === " ") {
      if (this.active !== null) this.on.pin(this.items[this.active].name);
    } else if (event.key === "Escape") {
      this.point(null);
      this.on.clear();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  walk(step) {
    const shown = [...this.items.keys()].filter((index) => !this.items[index].element.hidden);
    if (!shown.length) return;
    const now = shown.indexOf(this.active);
    const next = now < 0 ? (step < 0 && Number.isFinite(step) ? shown.length - 1 : 0) : now + step;
    const index = shown[Math.min(Math.max(step === Infinity ? shown.length - 1 : next, 0), shown.length - 1)];
    this.point(index);
    this.items[index].element.scrollIntoView({ block: "nearest" });
  }

  searchKey(event) {
    if (event.ctrlKey || event.metaKey) return;
    if (event.key === "Escape") {
      this.search.value = "";
      this.filter();
    } else if (event.key === "ArrowDown" || event.key === "Enter") {
      this.list.focus({ preventScroll: true });
      this.walk(-Infinity);
      event.preventDefault();
    }
    event.stopPropagation();
  }

  filter() {
    const wanted = this.search.hidden ? "" : plain(this.search.value);
    this.items.forEach(({ element, key }, i) => (element.hidden = this.hidden.has(i) || !key.includes(wanted)));
  }

  indexOf(target) {
    const index = this.items.findIndex(({ element }) => element.contains(target));
    return index < 0 ? null : index;
  }
}
