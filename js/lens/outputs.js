// What can be taken out of the lens by hand: the shown words as a picture file, the mask of the pinned words.

import { say } from "../page/texts.js";
import { write } from "./dom.js";
import { maskImage, maskOf } from "./mask.js";
import { saveMaps } from "./save.js";

export const ARRIVING = say("lens.arriving");

/** Saves the shown words of a LensView, or all where none is shown, as one picture file. */
export async function saveShown(view) {
  const { frames, set, stage } = view;
  if (!frames) return view.say(say("lens.runFirst"));
  if (!set.complete) return view.say(ARRIVING);
  if (stage.isLoading) return view.say(say("lens.imageLoading"));
  const shown = view.shown().filter((i) => set.words[i]);
  const places = shown.length ? shown : [...set.words.keys()].filter((i) => set.words[i] && !view.hidden.has(i));
  try {
    await saveMaps({
      words: places.map((i) => ({ name: view.frame.names[i], ...set.words[i] })),
      grid: view.frame.grid,
      picture: stage.picture,
      size: stage.size,
      peak: set.peak,
      source: set.source,
      look: view.look,
      level: view.level(),
    });
  } catch (error) {
    view.say(say("lens.notSaved", { reason: error.message }));
  }
}

/** Puts the mask of the pinned words into the clipboard. */
export function copyMask(view) {
  return withMask(view, async (mask, size) => {
    await navigator.clipboard.write([new ClipboardItem({ "image/png": maskImage(mask, size) })]);
    view.say("");
    write(view.status, say("lens.copied"));
    view.told = view.scene; // until something else is shown
  });
}

/** Opens the mask of the pinned words in ComfyUI's editor. */
export function editMask(view) {
  return withMask(view, async (mask, size, reference) => view.host.toMaskEditor(await maskImage(mask, size, true), reference));
}

/** Calls act(mask, size, reference of the image) with the mask of the pinned words at the size of the image. */
async function withMask(view, act) {
  if (!view.frames) return view.say(say("lens.runFirst"));
  const words = view.pinnedPlaces().map((i) => view.set.words[i]);
  if (!words.length || !words.every(Boolean)) return view.say(words.length ? ARRIVING : say("lens.pinFirst"));
  const { size, pictures } = view.frames.payload;
  const mask = maskOf(words, view.frame.grid, size, Number(view.host.get("threshold")));
  try {
    await act(mask, size, pictures[view.picture]);
  } catch (error) {
    view.say(say("lens.maskFailed", { reason: error.message }));
  }
}
