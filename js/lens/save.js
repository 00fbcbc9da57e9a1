// Saves the shown maps as one PNG, with their data inside.

import { download, grid as gridOf, withText } from "./png.js";
import { shareText } from "./shares.js";
import { Stage } from "./stage.js";

const TILE = 512;

/** words: [{name, map, low, high, score}]; the rest as `Stage.draw` takes it. Resolves when the file is handed over. */
export async function saveMaps({ words, grid, picture, size, peak, source, look, level }) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: TILE, height: Math.max(1, Math.round((TILE * size[0]) / size[1])) });
  const stage = new Stage(canvas);
  stage.setPicture(picture, size);
  const tiles = words.map((word) => ({
    title: word.name,
    note: `up to ${shareText(word.high)} · concentration ${Math.round(word.score)} of 100`,
    draw: (context, width, height) => {
      stage.draw([word], { grid, peak, look, level });
      context.drawImage(canvas, 0, 0, width, height);
    },
  }));
  const numbers = ({ name, low, high, score, map }) => ({
    name, low, high, score, map: Array.from(map, (value) => Number(value.toPrecision(4))),
  });
  const data = { format: "hrv-lens", version: 1, grid, source, threshold: level, look, words: words.map(numbers) };
  const blob = await new Promise((done) => gridOf(tiles, size).toBlob(done, "image/png"));
  if (!blob) throw new Error("the browser could not create the file; it may be too large, or memory may be low");
  const png = new Uint8Array(await blob.arrayBuffer());
  download(withText(png, "hrv", JSON.stringify(data)), "attention_lens.png");
}
