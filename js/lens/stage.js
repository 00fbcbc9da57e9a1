// The picture with heat and mask outlines on one canvas.

import { colorTable } from "./colormaps.js";
import { enlarge, normalise, range, smooth } from "./maps.js";
import { outline } from "./outline.js";

const HEAT_SIDE = 256; // longer side at which heat is computed; the canvas enlarges it further
const BESIDE = "#ff9ee5"; // a colour that no colour map has
const LARGEST_CANVAS = 1536;
const KEPT = 64; // enlarged maps; a quarter of a megabyte each

const ease = (x) => 1 - (1 - x) ** 2;

/** Size (height, width) at which heat is computed for a picture. */
export function heatSize(height, width) {
  const scale = HEAT_SIDE / Math.max(height, width);
  return [Math.max(1, Math.round(height * scale)), Math.max(1, Math.round(width * scale))];
}

export class Stage {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.heat = document.createElement("canvas");
    this.picture = null;
    this.loading = null;
    this.size = [1, 1];
    this.large = new Map(); // map → enlarged values, newest last
    this.lines = new Map(); // map → {level, segments}
    this.sigma = 0;
  }

  /** picture: an image that has loaded, or null; size: its height and width. */
  setPicture(picture, size) {
    this.picture = picture;
    if (size[0] !== this.size[0] || size[1] !== this.size[1]) this.forget();
    this.size = size;
  }

  /** Whether the picture has not come yet. */
  get isLoading() {
    return Boolean(this.loading);
  }

  /** Loads a picture; `came` is called when it is there, `failed` when it is gone. */
  open(address, size, came, failed) {
    const image = new Image();
    const isNewest = () => this.loading === image;
    this.loading = image;
    image.onload = () => isNewest() && ((this.loading = null), this.setPicture(image, size), came());
    image.onerror = () => isNewest() && ((this.loading = null), failed());
    this.setPicture(null, size);
    image.src = address;
  }

  /** Lets go of enlarged maps. */
  forget() {
    this.large.clear();
    this.lines.clear();
  }

  /** Lets go of everything. */
  close() {
    this.forget();
    this.loading = this.picture = null;
  }

  /** Draws the picture, the largest heat of `words` over it, and their outlines.
   *
   *  words: [{map, low, high}]; grid: their height and width; peak: the value that is full heat on the shared scale;
   *  look: {view, scale, colormap, opacity, smoothing}; level: threshold of the outline, or null; beside: words of which
   *  only the outline is drawn, in a colour of its own. */
  draw(words, { grid, peak, look, level, beside = [] }) {
    const { context, canvas } = this;
    context.globalAlpha = 1;
    context.imageSmoothingQuality = "high";
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (this.picture) context.drawImage(this.picture, 0, 0, canvas.width, canvas.height);
    if (!words.length) return;
    this.paintHeat(words, grid, peak, look);
    context.globalAlpha = look.view === "heat" ? ease(look.opacity) : look.opacity;
    context.drawImage(this.heat, 0, 0, canvas.width, canvas.height);
    context.globalAlpha = 1;
    if (level === null) return;
    for (const word of beside) this.stroke(this.segments(word, grid, level), BESIDE);
    for (const word of words) this.stroke(this.segments(word, grid, level), "white");
  }

  /** Before drawing: the canvas has as many pixels as it takes on the screen, whatever the zoom, but no more than it needs. */
  fit() {
    const box = this.canvas.getBoundingClientRect();
    const wanted = Math.min(LARGEST_CANVAS, Math.max(64, box.width * (window.devicePixelRatio || 1)));
    const width = Math.round(wanted / 32) * 32;
    const height = Math.max(1, Math.round((width * this.size[0]) / this.size[1]));
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
  }

  enlarged(word, grid, sigma) {
    if (sigma !== this.sigma) this.large.clear();
    this.sigma = sigma;
    let values = this.large.get(word.map);
    if (!values) {
      values = enlarge(smooth(word.map, ...grid, sigma), ...grid, ...heatSize(...this.size));
      this.large.set(word.map, values);
      if (this.large.size > KEPT) this.large.delete(this.large.keys().next().value);
    }
    return values;
  }

  paintHeat(words, grid, peak, look) {
    const [height, width] = heatSize(...this.size);
    let heat = null;
    for (const word of words) {
      const own = normalise(this.enlarged(word, grid, look.smoothing), look.scale, peak);
      if (!heat) heat = own;
      else for (let i = 0; i < heat.length; i++) if (own[i] > heat[i]) heat[i] = own[i];
    }
    if (this.heat.width !== width || this.heat.height !== height) Object.assign(this.heat, { width, height });
    const context = this.heat.getContext("2d");
    const image = context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    if (look.view === "reveal") {
      for (let i = 0; i < pixels.length; i++) image.data[4 * i + 3] = Math.round(255 * (1 - heat[i]));
    } else {
      if (this.tableName !== look.colormap) [this.tableName, this.table] = [look.colormap, colorTable(look.colormap)];
      for (let i = 0; i < pixels.length; i++) pixels[i] = this.table[Math.round(255 * heat[i])];
      // opacity that follows the heat, as in hrv/draw/overlay.py: what has none keeps the image's own colours
      if (look.view === "heat") for (let i = 0; i < pixels.length; i++) image.data[4 * i + 3] = Math.round(255 * ease(heat[i]));
    }
    context.putImageData(image, 0, 0);
  }

  /** Where the mask of one word begins; never smoothed, because the mask output is not. */
  segments(word, grid, level) {
    const known = this.lines.get(word.map);
    if (known?.level === level) return known.segments;
    const [height, width] = heatSize(...this.size);
    const values = this.sigma > 0 ? enlarge(word.map, ...grid, height, width) : this.enlarged(word, grid, 0);
    const [low, high] = range(values);
    const segments = high > low ? outline(values, height, width, low + level * (high - low)) : [];
    this.lines.set(word.map, { level, segments });
    if (this.lines.size > KEPT) this.lines.delete(this.lines.keys().next().value);
    return segments;
  }

  stroke(segments, inner) {
    const { context, canvas } = this;
    context.beginPath();
    for (let i = 0; i < segments.length; i += 4) {
      context.moveTo(segments[i] * canvas.width, segments[i + 1] * canvas.height);
      context.lineTo(segments[i + 2] * canvas.width, segments[i + 3] * canvas.height);
    }
    context.lineCap = "round";
    const thin = Math.max(1, canvas.width / 400);
    for (const [colour, width] of [["rgba(0, 0, 0, 0.85)", 3 * thin], [inner, 1.4 * thin]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.stroke();
    }
  }
}
