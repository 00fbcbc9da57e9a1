// Names in a words field, as hrv/prompt/names.py reads them.

const INDIFFERENT = /[\s_\-\u2010\u2011()\u200b-\u200f\u2060\ufe0e\ufe0f]+/g;
const ESCAPES = /\\(?=[()])/g;
const JOINS = /[\p{M}\uff9e\uff9f\u1160-\u11ff]/u;

const folded = (text) => text.normalize("NFKC").toLowerCase();

/** What two spellings of one name have in common: case, white space, Unicode form, `_`, `-` and brackets do not matter, unless
 *  there is nothing else (`-_-`). */
export function plain(name) {
  const whole = folded(name);
  return whole.replace(ESCAPES, "").replace(INDIFFERENT, "") || whole.replace(/\s+/g, "");
}

/** The same for a range of characters, letter by letter: [letters, place] of each character with the marks that join it. */
export function lettersOf(characters, start, stop) {
  const found = [];
  for (let place = start, next; place < stop; place = next) {
    next = place + 1;
    while (next < stop && JOINS.test(characters[next])) next++;
    const isEscape = characters[place] === "\\" && next < stop && "()".includes(characters[next]);
    found.push([folded(characters.slice(place, next).join("")), place, isEscape]);
  }
  const bare = found.map(([letters, place, isEscape]) => [isEscape ? "" : letters.replace(INDIFFERENT, ""), place]);
  return bare.some(([letters]) => letters) ? bare : found.map(([letters, place]) => [letters.replace(/\s+/g, ""), place]);
}

/** A name that was copied with its weights: `(red star:1.3)` is `(red star)`. */
export const withoutWeights = (name) => name.replace(/:\s*[+-]?(?:\d+\.?\d*|\.\d+)\s*(?=\))/g, "");

/** Names in a words field, split at commas of any script and at line ends. */
export const splitNames = (text) => text.split(/[,，、､،\n\r\u2028\u2029]/).map((name) => name.trim()).filter(Boolean);

/** The names without `name` where they have it, else with it at their end. */
export function toggled(names, name) {
  const rest = names.filter((other) => plain(other) !== plain(name));
  return rest.length < names.length ? rest : [...rest, name];
}
