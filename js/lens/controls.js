// Everything that can be set in the lens: how heat is shown, whose heads, which picture, which part of the schedule.

import { say } from "../page/texts.js";
import { COLORMAPS } from "./colormaps.js";
import { choice, make, slider } from "./dom.js";

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
    this.view = choice("View", "heat: coloured where the word has heat. cover: the colours cover the whole image. reveal: darkens everything except the place that the word drew.",
      [["heat", "heat"], ["cover", "cover"], ["reveal", "reveal"]], kept("view"));
    this.scale = choice("Scale", "shared: one scale for all words, so an ignored word stays dark. per word: each word is stretched to its own lowest and highest value.",
      [["shared", "shared"], ["per word", "per word"]], kept("scale"));
    this.colormap = choice("Colours", "viridis and inferno are safe for colour-blind eyes.",
      COLORMAPS.map((name) => [name, name]), kept("colormap"));
    this.opacity = slider("Opacity", "How strongly the heatmap covers the image.",
      { min: 0, max: 1, step: 0.01, text: (v) => percent(100 * v) }, set("opacity"), settled);
    this.smoothing = slider("Smoothing", "Softens the heatmap on screen. The mask is never smoothed.",
      { min: 0, max: 3, step: 0.1, text: (v) => (v ? v.toFixed(1) : "off") }, set("smoothing"), settled);
    this.threshold = slider("Threshold", "Where the mask begins, between the word's lowest and highest attention. The mask output uses it too.",
      { min: 0, max: 1, step: 0.01, text: (v) => v.toFixed(2) }, (v) => on.threshold(v), settled);
    this.outline = make("input", { type: "checkbox", "aria-label": "Outline", onchange: () => kept("outline")(this.outline.checked) });
    const outline = make("label", { class: "hrv-control hrv-check", title: "Outlines the mask." }, this.outline, make("span", {}, "Outline"));

    const heads = () => on.heads(this.concept.input.value, this.share.input.valueAsNumber);
    this.concept = choice("Heads", "Whose attention you see: all heads (DAAM), or only those that care most about a concept. The outputs change too.",
      [], () => (heads(), on.settled()));
    this.share = slider("Share of heads", "The share of all heads to use for the concept. 23 % worked best in the paper.",
      { min: 1, max: 100, step: 1, text: percent }, heads, settled);
    this.headsRow = make("div", { class: "hrv-row" }, this.concept.element, this.share.element);

    this.bins = 1;
    this.step = slider("Steps", "Which part of the schedule you see, from noise to the finished image.",
      { min: 0, max: 1, step: 1, text: (v) => (v ? `${v} of ${this.bins}` : "all") }, (v) => on.bin(v ? v - 1 : null));
    const arrow = (text, by, hint) => make("button", { type: "button", title: hint, "aria-label": hint, onclick: () => on.picture(by) }, text);
    this.number = make("span", { class: "hrv-value" });
    this.batch = make("span", { class: "hrv-control hrv-batch" }, arrow("◀", -1, "Previous image"), this.number, arrow("▶", 1, "Next image"));
    this.timeRow = make("div", { class: "hrv-row" }, this.step.element, this.batch);

    this.fillers = make("button", { type: "button", title: "Shows words that carry grammar rather than content, such as “the” and “of”.",
      onclick: () => kept("fillers")(this.fillers.getAttribute("aria-pressed") !== "true") }, "Filler words");
    this.clear = make("button", { type: "button", title: "Unpins all words (Esc).", onclick: () => on.clear() }, "Unpin all");
    this.copyMask = make("button", { type: "button", title: say("lens.copyMaskHint"), onclick: () => on.copyMask() }, say("lens.copyMask"));
    this.editMask = make("button", { type: "button", title: say("lens.editMaskHint"), onclick: () => on.editMask() }, say("lens.editMask"));
    this.save = make("button", { type: "button", title: "Saves the heatmaps on screen as one image, with their numbers stored in the file.", onclick: () => on.save() }, "Save image");

    this.element = make("div", { class: "hrv-controls" },
      this.timeRow, this.headsRow,
      make("div", { class: "hrv-row" }, this.view.element, this.scale.element, this.colormap.element),
      make("div", { class: "hrv-row" }, this.threshold.element, outline),
      make("div", { class: "hrv-row" }, this.opacity.element, this.smoothing.element));
  }

  /** What the data has: its concepts, parts of the schedule, pictures, and words without content. */
  offer({ concepts, bins, pictures, fillers }) {
    this.fillers.hidden = !fillers;
    this.concept.fill([["", "all heads (DAAM)"], ...concepts.map((name) => [name, name])]);
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
