// What is shown, as text.

import { inOwnWords } from "../page/said.js";
import { figure, say } from "../page/texts.js";

const [GATHERED, SPREAD] = [65, 30]; // scores from which a word's attention is called gathered, and below which it is spread out

/** A share as an artist reads it: 0.0312 is "3.1 %". */
export function shareText(value) {
  const p = 100 * value;
  return figure(p >= 9.95 ? `${p.toFixed(0)} %` : p >= 0.995 ? `${p.toFixed(1)} %` : `${p.toPrecision(1)} %`);
}

/** The line below the picture. names: the picture's entries; set: its maps; shown: places of the words whose heat is shown. */
export function sentence(names, set, shown) {
  if (!set.complete) return say("lens.loading"); // until then the shared scale may change
  const word = shown.length === 1 ? set.words[shown[0]] : null;
  if (word) {
    const where = word.score >= GATHERED ? "lens.gathered" : word.score >= SPREAD ? "lens.partly" : "lens.spread";
    return say(where, { word: names[shown[0]], share: shareText(word.high) });
  }
  if (shown.length) return say("lens.pinned", { count: shown.length });
  return say("lens.point");
}

/** The numbers behind it. */
export function numbers(set, shown) {
  const word = shown.length === 1 ? set.words[shown[0]] : null;
  return [word && say("lens.concentration", { score: Math.round(word.score) }), set.complete && (word?.isPlace ? say("lens.place") : inOwnWords(set.source, set.said))].filter(Boolean).join(" · ");
}
