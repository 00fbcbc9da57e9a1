// Heatmaps of words as tiles: the strongest first, each with its word in large type; a click shows one of them large.

import { colorTable } from "../lens/colormaps.js";
import { make } from "../lens/dom.js";
import { shareText } from "../lens/shares.js";
import { inOwnWords } from "../page/said.js";
import { say } from "../page/texts.js";

const FEW = 9; // tiles that are all shown
const FIRST = 6; // of more than these

export class TilesView {
  /** address(image): where the page gets an image of the node's output. */
  constructor(address) {
    this.address = address;
    this.list = make("div", { class: "hrv-tiles-list" });
    this.legend = make("div", { class: "hrv-tiles-legend" });
    this.large = make("div", { class: "hrv-tiles-large", hidden: true });
    this.element = make("div", { class: "hrv-tiles", "data-capture-wheel": "true", tabindex: "-1", onkeydown: (event) => this.key(event) },
      make("p", { class: "hrv-tiles-hint" }, say("tiles.before")));
  }

  /** payload: as hrv/look/tiles.py packs it; output: what the node sent, whose `images` are in the order of the payload's tiles. */
  show(payload, { images }) {
    this.payload = payload;
    this.tiles = payload.tiles.map((tile, i) => ({ ...tile, word: inOwnWords(tile.word, payload.said), address: images?.[i] && this.address(images[i]) })).filter((tile) => tile.address);
    this.pictures = new Set(this.tiles.map((tile) => tile.picture)).size;
    this.picture = Math.min(this.picture ?? 0, this.pictures - 1);
    this.all = false;
    this.fill();
  }

  /** The tiles of the image that is shown, the strongest word first, parts of the schedule in order. */
  sorted() {
    const own = this.tiles.filter((tile) => tile.picture === this.picture);
    const strength = new Map();
    for (const { word, value } of own) strength.set(word, Math.max(value, strength.get(word) ?? 0));
    return own.sort((a, b) => strength.get(b.word) - strength.get(a.word) || a.part - b.part);
  }

  fill() {
    const sorted = (this.order = this.sorted());
    const shown = this.all || sorted.length <= FEW ? sorted : sorted.slice(0, FIRST);
    this.list.replaceChildren(...shown.map((tile) => this.tile(tile)));
    this.list.style.setProperty("--hrv-fewest", Math.min(shown.length, 3));
    const bar = [this.scale(), ...(this.pictures > 1 ? [this.turner()] : [])];
    const rest = sorted.length - shown.length;
    if (rest) bar.push(make("button", { type: "button", onclick: () => this.showAll(true) }, say("tiles.all", { count: sorted.length })));
    else if (this.all && sorted.length > FEW) bar.push(make("button", { type: "button", onclick: () => this.showAll(false) }, say("tiles.fewer", { count: FIRST })));
    this.legend.replaceChildren(...bar);
    this.element.replaceChildren(this.legend, this.list, this.large);
    this.shut();
  }

  showAll(all) {
    this.all = all;
    this.fill();
  }

  tile(tile) {
    const picture = make("img", { src: tile.address, alt: "", draggable: "false", loading: "lazy" });
    const [height, width] = this.payload.size;
    const frame = make("span", { class: "hrv-tile-image", style: `aspect-ratio: ${width} / ${height}; --hrv-ratio: ${width / height}` }, picture);
    return make("button", { type: "button", class: `hrv-tile${tile.idle ? " hrv-idle" : ""}`, title: say("tiles.enlarge"), onclick: () => this.enlarge(tile) },
      frame, ...this.words(tile));
  }

  words({ word, value, part, parts, idle, asked }) {
    const note = idle ? say("tiles.idle") : shareText(value);
    const which = parts > 1 ? ` ${say("tiles.part", { part, parts })}` : "";
    return [make("span", { class: "hrv-tile-words" }, make("strong", { class: "hrv-tile-word" }, word), make("span", { class: "hrv-tile-note" }, note + which)),
      ...(asked ? [make("span", { class: "hrv-tile-note hrv-tile-asked" }, say("tiles.asked"))] : [])];
  }

  /** What the colours mean. */
  scale() {
    const { kind, normalize, colormap, peaks } = this.payload;
    const ends = kind === "effect" ? [say("tiles.noChange"), say("tiles.mostChange")] : ["0 %", shareText(peaks[this.picture] ?? 0)];
    const colours = colorTable(colormap);
    const steps = [0, 43, 85, 128, 170, 213, 255].map((i) => `rgb(${colours[i] & 255} ${(colours[i] >> 8) & 255} ${(colours[i] >> 16) & 255})`);
    const bar = make("span", { class: "hrv-tiles-bar", style: `background: linear-gradient(to right, ${steps.join(", ")})` });
    const hint = say(normalize !== "shared" ? "tiles.ownScale" : kind === "effect" ? "tiles.effectScale" : "tiles.sharedScale");
    const own = normalize !== "shared" && kind !== "effect";
    return make("span", { class: "hrv-tiles-scale", title: hint }, own ? say("tiles.low") : ends[0], bar, own ? say("tiles.high") : ends[1]);
  }

  turner() {
    const turn = (by) => {
      this.picture = (this.picture + by + this.pictures) % this.pictures;
      this.fill();
    };
    const arrow = (text, by, hint) => make("button", { type: "button", title: hint, "aria-label": hint, onclick: () => turn(by) }, text);
    return make("span", { class: "hrv-tiles-turn" }, arrow("◀", -1, say("previousImage")), `${this.picture + 1} / ${this.pictures}`, arrow("▶", 1, say("nextImage")));
  }

  enlarge(tile) {
    const at = this.order.indexOf(tile);
    const next = (by) => this.enlarge(this.order[(at + by + this.order.length) % this.order.length]);
    this.step = next;
    const button = (text, hint, onclick) => make("button", { type: "button", title: hint, "aria-label": hint, onclick }, text);
    const bar = make("div", { class: "hrv-tiles-legend" }, button("◀", say("tiles.stronger"), () => next(-1)), button("▶", say("tiles.weaker"), () => next(1)),
      ...this.words(tile), make("a", { href: tile.address, target: "_blank", rel: "noopener" }, say("openImage")), button("✕", say("tiles.back"), () => this.shut()));
    const picture = make("img", { src: tile.address, alt: tile.word, draggable: "false", title: say("tiles.back"), onclick: () => this.shut() });
    this.large.replaceChildren(bar, picture);
    this.turnLarge(true);
  }

  shut() {
    this.step = null;
    this.turnLarge(false);
    this.large.replaceChildren();
  }

  turnLarge(on) {
    this.large.hidden = !on;
    this.list.hidden = this.legend.hidden = on;
  }

  key(event) {
    const act = this.step && { Escape: () => this.shut(), ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1) }[event.key];
    if (!act) return;
    act();
    event.preventDefault();
    event.stopPropagation();
  }

  close() {
    this.element.replaceChildren();
    this.tiles = this.order = [];
  }
}
