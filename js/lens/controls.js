// Everything that can be set in the lens: how heat is shown, whose heads, which picture, which part of the schedule.

import { say } from "../page/texts.js";
import { COLORMAPS } from "./colormaps.js";
import { choice, make, slider } from "./dom.js";

const VIEWS = { heat: say("lens.heat"), cover: say("lens.cover"), reveal: say("lens.reveal") };
const SCALES = { shared: say("lens.shared"), own: say("lens.own") };

const percent = (value) => `${Math.round(value)} %`;

/** on: {look(changes), threshold(value), heads(concept, share), picture(step), bin(value), settled(), save(), clear(), copyMask(),
 *  editMask()} */
export class Controls {
  constructor(on) {
    const settled = () => on.settled();
    const set = (name) => (value) => on.look({ [name]: value });
    const kept = (name) => (value) => {
      on.look({ [name]: value });
      on.settled();
    };
    this.view = choice(say("lens.view"), say("lens.viewHint", VIEWS), Object.entries(VIEWS), kept("view"));
    this.scale = choice(say("lens.scale"), say("lens.scaleHint", SCALES), [["shared", SCALES.shared], ["per word", SCALES.own]], kept("scale"));
    this.colormap = choice(say("lens.colours"), say("lens.coloursHint"),
      COLORMAPS.map((name) => [name, name]), kept("colormap"));
    this.opacity = slider(say("lens.opacity"), say("lens.opacityHint"),
      { min: 0, max: 1, step: 0.01, text: (v) => percent(100 * v) }, set("opacity"), settled);
    this.smoothing = slider(say("lens.smoothing"), say("lens.smoothingHint"),
      { min: 0, max: 3, step: 0.1, text: (v) => (v ? v.toFixed(1) : say("lens.off")) }, set("smoothing"), settled);
    this.threshold = slider(say("lens.threshold"), say("lens.thresholdHint"),
      { min: 0, max: 1, step: 0.01, text: (v) => v.toFixed(2) }, (v) => on.threshold(v), settled);
    this.outline = make("input", { type: "checkbox", "aria-label": say("lens.outline"), onchange: () => kept("outline")(this.outline.checked) });
    const outline = make("label", { class: "hrv-control hrv-check", title: say("lens.outlineHint") }, this.outline, make("span", {}, say("lens.outline")));

    const heads = () => on.heads(this.concept.input.value, this.share.input.valueAsNumber);
    this.concept = choice(say("lens.heads"), say("lens.headsHint"),
      [], () => (heads(), on.settled()));
    this.share = slider(say("lens.share"), say("lens.shareHint"),
      { min: 1, max: 100, step: 1, text: percent }, heads, settled);
    this.headsRow = make("div", { class: "hrv-row" }, this.concept.element, this.share.element);

    this.bins = 1;
    this.step = slider(say("lens.steps"), say("lens.stepsHint"),
      { min: 0, max: 1, step: 1, text: (v) => (v ? say("lens.part", { part: v, parts: this.bins }) : say("lens.whole")) }, (v) => on.bin(v ? v - 1 : null));
    const arrow = (text, by, hint) => make("button", { type: "button", title: hint, "aria-label": hint, onclick: () => on.picture(by) }, text);
    this.number = make("span", { class: "hrv-value" });
    this.batch = make("span", { class: "hrv-control hrv-batch" }, arrow("◀", -1, say("previousImage")), this.number, arrow("▶", 1, say("nextImage")));
    this.timeRow = make("div", { class: "hrv-row" }, this.step.element, this.batch);

    this.fillers = make("button", { type: "button", title: say("lens.fillersHint"),
      onclick: () => kept("fillers")(this.fillers.getAttribute("aria-pressed") !== "true") }, say("lens.fillers"));
    this.clear = make("button", { type: "button", title: say("lens.unpinHint"), onclick: () => on.clear() }, say("lens.unpin"));
    this.copyMask = make("button", { type: "button", title: say("lens.copyMaskHint"), onclick: () => on.copyMask() }, say("lens.copyMask"));
    this.editMask = make("button", { type: "button", title: say("lens.editMaskHint"), onclick: () => on.editMask() }, say("lens.editMask"));
    this.save = make("button", { type: "button", title: say("lens.saveHint"), onclick: () => on.save() }, say("lens.save"));

    this.element = make("div", { class: "hrv-controls" },
      this.timeRow, this.headsRow,
      make("div", { class: "hrv-row" }, this.view.element, this.scale.element, this.colormap.element),
      make("div", { class: "hrv-row" }, this.threshold.element, outline),
      make("div", { class: "hrv-row" }, this.opacity.element, this.smoothing.element));
  }

  /** What the data has: its concepts, parts of the schedule, pictures, and words without content. */
  offer({ concepts, bins, pictures, fillers }) {
    this.fillers.hidden = !fillers;
    this.concept.fill([["", say("lens.allHeads")], ...concepts.map((name) => [name, name])]);
    this.headsRow.hidden = !concepts.length;
    this.bins = bins;
    this.step.input.max = bins;
    this.step.element.hidden = bins < 2;
    this.batch.hidden = pictures < 2;
    this.timeRow.hidden = bins < 2 && pictures < 2;
  }

  /** Shows the values that are set. */
  show({ look, threshold, concept, share, bin, picture, pictures }) {
    for (const name of ["view", "scale", "colormap", "opacity", "smoothing"]) this[name].set(look[name]);
    this.outline.checked = look.outline;
    this.fillers.setAttribute("aria-pressed", String(look.fillers));
    this.threshold.set(threshold);
    this.concept.set(concept);
    this.share.set(share);
    this.share.input.disabled = !concept;
    this.step.set(bin === null ? 0 : bin + 1);
    this.number.textContent = `${picture + 1} / ${pictures}`;
    this.colormap.input.disabled = look.view === "reveal";
  }
}
