// The mask of some words as an image, as the node's output `mask` has it: their heatmaps at the size of the image, each cut at its level.

import { enlarge, range } from "./maps.js";

/** words: [{map}]; grid: their height and width; size: of the image; level: 0 to 1. Returns bytes, 1 inside of any word's mask. */
export function maskOf(words, grid, [height, width], level) {
  const inside = new Uint8Array(height * width);
  for (const { map } of words) {
    const values = enlarge(map, ...grid, height, width);
    const [low, high] = range(values);
    const from = low + level * (high - low);
    if (high > low) for (let i = 0; i < inside.length; i++) if (values[i] >= from) inside[i] = 1;
  }
  return inside;
}

/** A PNG of a mask. hole: where the mask is, the image is transparent, as ComfyUI's mask editor has it; else white on black. */
export function maskImage(inside, [height, width], hole = false) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const [within, without] = hole ? [0x00000000, 0xff000000] : [0xffffffff, 0xff000000];
  for (let i = 0; i < pixels.length; i++) pixels[i] = inside[i] ? within : without;
  context.putImageData(image, 0, 0);
  return new Promise((done, failed) => canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error("the browser could not create it"))), "image/png"));
}
