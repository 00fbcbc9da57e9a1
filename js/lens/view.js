// The lens: puts picture, words and controls together. Knows nothing of ComfyUI; what it needs of it is `host`.

import { say as told } from "../page/texts.js";
import { plain, splitNames, toggled } from "../words/names.js";
import { Chips } from "./chips.js";
import { Controls } from "./controls.js";
import { make, write } from "./dom.js";
import { Frames } from "./frames.js";
import { sharesAt } from "./maps.js";
import { ARRIVING, copyMask, editMask, saveShown } from "./outputs.js";
import { Ranking } from "./ranking.js";
import { numbers, sentence } from "./shares.js";
import { Stage } from "./stage.js";

const LOOK = { view: "heat", scale: "shared", colormap: "turbo", opacity: 0.6, smoothing: 0, outline: true, fillers: false };
const PAUSE = 40; // milliseconds to wait for a slider to rest before the server is asked

/** host: {get(name), set(name, value), settled(), locked(name), look(), setLook(look), ask(question),
 *  pictureAddress(reference), hasUsers(), run(), toMaskEditor(blob, reference)}; names are the node's inputs words, threshold, concept,
 *  percent. hasUsers: whether anything is connected to the outputs; run: queues the workflow. */
export class LensView {
  constructor(host) {
    this.host = host;
    this.frames = null;
    this.picture = 0;
    this.bin = null;
    this.hidden = new Set();
    this.active = null;
    this.point = null;
    this.build();
    this.observer = new ResizeObserver(() => this.refresh());
    this.observer.observe(this.box);
  }

  build() {
    this.canvas = make("canvas", { class: "hrv-canvas", role: "img", "aria-label": told("lens.image") });
    this.ranking = new Ranking();
    this.empty = make("p", { class: "hrv-empty" }, told("lens.before"));
    this.box = make("div", { class: "hrv-stage" }, this.canvas, this.ranking.element, this.empty);
    this.status = make("p", { class: "hrv-status", role: "status" });
    this.chips = new Chips({
      point: (index) => ((this.active = index), this.refresh()),
      pin: (name) => this.pin(toggled(this.pinned, name)),
      clear: () => this.pin([]),
    });
    this.controls = new Controls({
      look: (changes) => (this.host.setLook({ ...this.look, ...changes }), this.update()),
      threshold: (value) => (this.host.set("threshold", value), (this.stale.hidden = !this.isStale()), this.refresh()),
      heads: (concept, share) => {
        this.host.set("concept", concept);
        this.host.set("percent", share);
        this.update();
      },
      picture: (step) => this.turn(step),
      bin: (value) => ((this.bin = value), this.update()),
      settled: () => this.host.settled(),
      save: () => saveShown(this),
      clear: () => this.pin([]),
      copyMask: () => copyMask(this),
      editMask: () => editMask(this),
    });
    this.stale = make("button", { type: "button", class: "hrv-stale", title: told("lens.stale"), hidden: true, onclick: () => this.host.run() }, told("lens.run"));
    const legend = make("span", { class: "hrv-legend", title: told("lens.meterHint") }, make("i"), told("lens.meter"));
    const words = make("div", { class: "hrv-row hrv-wordbar" }, this.chips.search, legend, this.controls.fillers, this.controls.clear, this.controls.save);
    const masks = make("div", { class: "hrv-row hrv-masks" }, this.stale, this.controls.copyMask, this.controls.editMask);
    this.element = make("div", { class: "hrv-lens" }, this.box, this.status, words, this.chips.list, masks, this.controls.element);
    this.element.lens = this;
    this.canvas.addEventListener("pointermove", (event) => this.hover(event));
    this.canvas.addEventListener("pointerleave", () => ((this.point = null), this.refresh()));
    this.canvas.addEventListener("click", (event) => this.take(event));
    this.controls.offer({ concepts: [], bins: 1, pictures: 1, fillers: 0 });
    this.update();
  }

  // Data

  /** Shows what the node sent after a run. */
  show(payload) {
    this.frames?.close();
    this.frames = new Frames(payload, (question) => this.host.ask(question));
    this.picture = Math.min(this.picture, payload.frames.length - 1);
    this.offer();
  }

  offer() {
    const { payload } = this.frames;
    const bins = this.frame.bins;
    if (this.bin !== null && this.bin >= bins) this.bin = null;
    const { length } = this.frame.names;
    const fillers = this.frame.fillers?.length ?? 0;
    this.controls.offer({ concepts: payload.concepts, bins, pictures: payload.frames.length, fillers: fillers < length ? fillers : 0 });
    this.empty.hidden = true;
    this.named = null;
    this.load(payload.pictures[this.picture], payload.size);
    this.update();
  }

  load(reference, size) {
    this.stage ??= new Stage(this.canvas);
    this.canvas.style.aspectRatio = `${size[1]} / ${size[0]}`;
    this.canvas.style.setProperty("--hrv-ratio", size[1] / size[0]);
    const drawn = () => ((this.scene = null), this.refresh());
    this.stage.open(this.host.pictureAddress(reference), size, drawn,
      () => this.say(told("lens.gone")));
    drawn();
  }

  get frame() {
    return this.frames.frame(this.picture);
  }

  get look() {
    return { ...LOOK, ...this.host.look() };
  }

  get choice() {
    const known = this.frames.payload.concepts.includes(this.host.get("concept"));
    return {
      picture: this.picture,
      concept: known ? this.host.get("concept") : "",
      percent: this.host.get("percent"),
      bin: this.bin,
    };
  }

  /** Brings everything in line with the settings, and asks for maps that are missing. */
  update() {
    const pictures = this.frames?.payload.frames.length ?? 1;
    this.controls.show({
      look: this.look,
      threshold: this.host.get("threshold"),
      concept: this.frames ? this.choice.concept : "",
      share: this.host.get("percent"),
      bin: this.bin,
      picture: this.picture,
      pictures,
    });
    if (this.frames) {
      this.set = this.frames.set(this.choice);
      clearTimeout(this.timer);
      this.frames.stop();
      if (!this.set.complete) this.timer = setTimeout(() => this.request(), this.set.words.some(Boolean) ? 0 : PAUSE);
      this.syncWords();
    }
    this.say("");
    this.refresh();
    this.stale.hidden = !this.isStale();
  }

  /** Whether the outputs, which others use, are not those of the words and settings that are shown. */
  isStale() {
    const asked = this.frames?.payload.asked;
    if (!asked || !this.host.hasUsers()) return false;
    const set = (names) => JSON.stringify([...new Set(names.map(plain))].sort());
    const differs = ["threshold", "concept", "percent"].some((name) => this.host.get(name) !== undefined && this.host.get(name) !== asked[name]);
    return set(this.pinned) !== set(splitNames(asked.words)) || (differs && this.pinned.length > 0);
  }

  async request() {
    const set = this.set;
    try {
      await this.frames.complete(this.choice, this.shown(), () => {
        this.rescore();
        this.refresh();
      });
      if (this.complaint === ARRIVING) this.say("");
    } catch (error) {
      if (set === this.set) this.say(error.message);
    }
  }

  // Words

  get pinned() {
    return splitNames(String(this.host.get("words") ?? ""));
  }

  pin(names) {
    if (this.host.locked("words")) return this.say(told("lens.lockedWords"));
    this.say("");
    this.host.set("words", names.join(", "));
    this.host.settled();
    this.syncWords();
    this.refresh();
    this.stale.hidden = !this.isStale();
  }

  /** Chips for the frame's words, and for pinned words that it does not have; called when the words field changed. */
  syncWords() {
    if (!this.frames) return;
    const { names, asked } = this.frame;
    const known = new Set(names.map(plain));
    const missing = this.pinned.filter((name) => !known.has(plain(name)));
    const wanted = JSON.stringify([names, missing, asked]);
    if (this.named !== wanted) {
      this.named = wanted;
      this.chips.show(names, missing, asked);
    }
    this.hidden = this.hiddenPlaces();
    this.chips.hide(this.hidden);
    this.rescore();
    this.chips.mark(new Set(this.pinned.map(plain)));
    for (const button of ["clear", "copyMask", "editMask"]) this.controls[button].disabled = !this.pinned.length;
  }

  /** Places of words without content (“the”), which are left out until they are asked for. */
  hiddenPlaces() {
    const pinned = new Set(this.pinnedPlaces());
    const fillers = this.look.fillers ? [] : (this.frame.fillers ?? []);
    return new Set(fillers.length < this.frame.names.length ? fillers.filter((i) => !pinned.has(i)) : []);
  }

  rescore() {
    this.chips.score(this.set.words.map((word) => word?.score));
  }

  /** Places of the words whose heat is shown: the one that is pointed at, else the pinned ones. */
  shown() {
    return this.active !== null ? [this.active] : this.pinnedPlaces();
  }

  pinnedPlaces() {
    const places = new Map(this.frame.names.map((name, i) => [plain(name), i]));
    return [...new Set(this.pinned.map((name) => places.get(plain(name))).filter((i) => i !== undefined))];
  }

  // Pointing at the picture

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  hover(event) {
    this.point = this.frames ? this.place(event) : null;
    this.refresh();
  }

  take(event) {
    if (!this.frames) return;
    if (!this.set.complete) return this.say(ARRIVING);
    const shares = this.shares(this.place(event));
    const most = Math.max(...shares);
    if (!(most > 0)) return this.say(told("lens.noAttention"));
    const name = this.frame.names[shares.indexOf(most)];
    const joins = event.ctrlKey || event.metaKey || event.shiftKey;
    this.pin(joins ? toggled(this.pinned, name) : [name]);
  }

  /** Shares of all words of the prompt at a point. Only to be read once all maps have come: what is missing has a share, too. */
  shares([x, y]) {
    return sharesAt(this.set.words.map((word, i) => (this.hidden.has(i) || this.set.asked.has(i) ? null : word?.map)), ...this.frame.grid, x, y);
  }

  rank() {
    const shares = this.point && this.set.complete ? this.shares(this.point) : null;
    const leading = this.ranking.show(shares, this.frame.names, this.point?.[0], new Set([...this.hidden, ...this.set.asked]));
    this.chips.bars(shares, leading);
  }

  // Drawing

  refresh() {
    this.drawing ??= requestAnimationFrame(() => {
      this.drawing = null;
      this.draw();
    });
  }

  draw() {
    if (!this.stage || !this.frames || !this.set) return;
    const shown = this.shown().filter((i) => this.set.words[i]);
    this.stage.fit();
    const beside = this.pinnedPlaces().filter((i) => this.set.words[i] && !shown.includes(i));
    const { width, height } = this.canvas;
    const scene = JSON.stringify([shown, beside, this.choice, this.set.peak, this.look, this.level(), width, height]);
    if (scene !== this.scene) {
      const words = (places) => places.map((i) => this.set.words[i]);
      const [grid, peak, look, level] = [this.frame.grid, this.set.peak, this.look, this.level()];
      this.stage.draw(words(shown), { grid, peak, look, level, beside: words(beside) });
      this.scene = scene;
    }
    this.rank();
    if (this.told === scene) return;
    this.told = null;
    if (!this.complaint) write(this.status, sentence(this.frame.names, this.set, shown));
    this.status.title = numbers(this.set, shown);
  }

  level() {
    return this.look.outline ? Number(this.host.get("threshold")) : null;
  }

  say(text) {
    this.complaint = text;
    if (text) write(this.status, text);
    this.status.classList.toggle("hrv-complaint", Boolean(text));
  }

  turn(step) {
    const count = this.frames.payload.frames.length;
    this.picture = (this.picture + step + count) % count;
    this.active = null;
    this.offer();
  }

  /** Lets go of everything; the view cannot be used afterwards. */
  close() {
    this.observer.disconnect();
    cancelAnimationFrame(this.drawing);
    clearTimeout(this.timer);
    this.frames?.close();
    this.stage?.close();
    this.frames = this.set = this.stage = null;
    this.canvas.width = this.canvas.height = 0;
    this.element.replaceChildren();
    this.element.lens = null;
  }
}
