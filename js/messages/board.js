// What a node has to say, as a small area below its widgets: errors, warnings, notes.

import { make } from "../lens/dom.js";
import { chain } from "../page/node.js";
import { say } from "../page/texts.js";

const SIGNS = { error: ["✕", say("message.error")], warning: ["⚠", say("message.warning")], note: ["ℹ", say("message.note")] };
const MOST = 112; // pixels, six lines; more scrolls
const LINE = 17;
const LETTER = 6.2; // how wide a letter is at most times, until the page has measured the text
const MARGIN = 6; // of the widget, on every side

let made = 0;

/** lines: [[kind, text], …]; the same text once, errors first, notes last. */
export function ordered(lines) {
  const kinds = Object.keys(SIGNS);
  const texts = new Map(); // text → its worst kind
  for (const [kind, text] of lines) {
    if (typeof text !== "string" || !text.trim()) continue;
    const known = texts.get(text.trim());
    if (known === undefined || kinds.indexOf(kind) < kinds.indexOf(known)) texts.set(text.trim(), kind);
  }
  return [...texts].map(([text, kind]) => [kind, text]).sort(([a], [b]) => kinds.indexOf(a) - kinds.indexOf(b));
}

/** The area of one node. It is a widget of the node only while there is something to say, the last one, and is never saved. */
export class Board {
  constructor(node) {
    this.node = node;
    this.shown = "[]";
    this.height = 0;
    // what is said of a node is no part of the graph: saved, it has the size that it has without
    chain(node, "onSerialize", (saved) => {
      if (this.height && saved.size) saved.size = [saved.size[0], saved.size[1] - this.height];
    });
  }

  show(lines) {
    const told = ordered(lines);
    const shown = JSON.stringify(told);
    if (shown === this.shown) return;
    this.shown = shown;
    if (!told.length) return this.close();
    if (!this.widget) this.open();
    this.list.replaceChildren(...told.map(([kind, text]) => {
      const [sign, name] = SIGNS[kind];
      return make("p", { class: `hrv-message hrv-${kind}`, role: kind === "error" ? "alert" : "status" },
        make("span", { class: "hrv-sign", role: "img", "aria-label": name }, sign), make("span", { class: "hrv-told" }, text));
    }));
    this.element.scrollTop = 0;
    this.measure();
  }

  open() {
    const { node } = this;
    this.list = make("div", { class: "hrv-messages-list" });
    this.element = make("div", { class: "hrv-messages", "data-capture-wheel": "true", tabindex: "0", onpointerdown: (event) => event.stopPropagation() }, this.list);
    // a type of its own, so that Nodes 2.0 mounts it anew after undo (see hrv_lens.js)
    this.widget = node.addDOMWidget("hrv_messages", `hrv_messages_${++made}`, this.element, {
      serialize: false,
      hideOnZoom: false,
      margin: MARGIN,
      getValue: () => "",
      setValue: () => {},
    });
    this.widget.serialize = false;
    // a height of its own: what could grow would take the node's free space from images
    this.widget.computeLayoutSize = undefined;
    this.widget.computeSize = (width) => [width ?? 0, this.height];
    this.watch = new ResizeObserver(() => this.measure());
    this.watch.observe(this.list);
  }

  /** Gives the widget the height of its text, and the node what the widget takes. */
  measure() {
    if (!this.widget) return;
    const text = this.list.offsetHeight || this.estimate();
    this.take(Math.min(MOST, text) + 2 * MARGIN);
  }

  estimate() {
    const letters = Math.max(10, (this.node.size[0] - 60) / LETTER);
    return JSON.parse(this.shown).reduce((sum, [, text]) => sum + LINE * Math.ceil(text.length / letters) + 5, 0);
  }

  take(height) {
    const { node } = this;
    const more = height - this.height;
    if (Math.abs(more) < 1) return;
    this.height = height;
    node.setSize([node.size[0], node.size[1] + more]);
    node.graph?.setDirtyCanvas(true, true);
  }

  close() {
    const { node, widget } = this;
    if (!widget) return;
    this.watch.disconnect();
    this.widget = undefined;
    this.shown = "[]";
    if (node.widgets?.includes(widget)) node.removeWidget(widget);
    this.take(0);
  }
}
