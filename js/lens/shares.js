// What is shown, as text.

/** A share as an artist reads it: 0.0312 is "3.1 %". */
export function shareText(value) {
  const p = 100 * value;
  return p >= 9.95 ? `${p.toFixed(0)} %` : p >= 0.995 ? `${p.toFixed(1)} %` : `${p.toPrecision(1)} %`;
}

/** The line below the picture. names: the picture's entries; set: its maps; shown: places of the words whose heat is shown. */
export function sentence(names, set, shown) {
  const source = set.complete ? set.source : "still loading the recording …"; // until then the shared scale may change
  const word = shown.length === 1 ? set.words[shown[0]] : null;
  if (word) return `${names[shown[0]]}: up to ${shareText(word.high)} of attention · concentration ${Math.round(word.score)} of 100 · ${source}`;
  if (shown.length) return `${shown.length} pinned words · ${source}`;
  return `Point at a word or at the image · ${source}`;
}
