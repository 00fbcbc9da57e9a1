// The entries of a prompt's text: words or tags, as hrv/prompt.py and hrv/reading.py name them after a run.

const SEPARATORS = /^[,;|]+$/;
const MOST = 300;

// CLIP's own pattern (Radford et al. 2021), with textual inversions in front
const WORD = /embedding:[^\s,]+|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+/giu;

/** The text without comments and weights; parentheses that set weights part words, escaped ones are letters. */
function cleaned(text) {
  return text
    .replace(/\/\*[\s\S]*?\*\/|(?<!:)\/\/.*/g, " ")
    .replace(/\\([()])/g, (_, bracket) => (bracket === "(" ? "\u0001" : "\u0002"))
    .replace(/:\s*[+-]?(\d+\.?\d*|\.\d+)\s*(?=\))/g, "")
    .replace(/[(){}]/g, " ")
    .replace(/\u0001/g, "(")
    .replace(/\u0002/g, ")");
}

const isWord = (piece) => /[\p{L}\p{N}\p{So}]/u.test(piece) && !piece.startsWith("'");

/** As the artist wrote it, unless weights stand in between. */
function written(pieces, text) {
  const letters = [...pieces.join("").replace(/\s+/g, "")].map((c) => c.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
  const found = new RegExp(letters.join("[\\s()]*"), "iu").exec(text)?.[0];
  return found && !/[(),:]/.test(found) ? found.trim().replace(/\s+/g, " ") : pieces.join(" ");
}

/** Entries of one text; unit: "auto", "words" or "tags". */
export function entriesOf(text, unit = "auto") {
  const pieces = (cleaned(text).match(WORD) ?? []).map((piece) => piece.toLowerCase());
  const words = pieces.filter(isWord);
  if (unit === "words") return words;
  const groups = [[]];
  for (const piece of pieces) SEPARATORS.test(piece) ? groups.push([]) : groups.at(-1).push(piece);
  const tags = groups.filter((group) => group.some(isWord)).map((group) => written(group, text));
  if (unit === "tags") return tags;
  const lengths = tags.map((tag) => tag.split(/\s+/).length).sort((a, b) => a - b);
  return tags.length >= 3 && lengths[lengths.length >> 1] <= 3 ? tags : words;
}

/** Names of all entries of some texts in reading order. What occurs twice in one text is told apart by #1, #2; what
 *  occurs in several texts is one name. */
export function namesOf(texts, unit = "auto") {
  const lists = texts.map((text) => entriesOf(text, unit));
  const repeated = new Set();
  for (const list of lists) {
    const keys = list.map((entry) => entry.toLowerCase());
    keys.forEach((key, i) => keys.indexOf(key) < i && repeated.add(key));
  }
  const names = new Map();
  for (const list of lists) {
    const seen = new Map();
    for (const entry of list) {
      const key = entry.toLowerCase();
      seen.set(key, (seen.get(key) ?? 0) + 1);
      const suffix = repeated.has(key) ? `#${seen.get(key)}` : "";
      if (!names.has(key + suffix)) names.set(key + suffix, entry + suffix);
    }
  }
  return [...names.values()].slice(0, MOST);
}
