// The entries of a prompt's text, words or tags, by the names that find them: as hrv/prompt and hrv/maps/lookup.py name them after a
// run.

import { FILLERS } from "./fillers.js";
import { parse } from "./grammar.js";
import { lettersOf, plain, splitNames, withoutWeights } from "./names.js";

const MOST = 300;
const [TAG_LIST, SHORT] = [3, 3]; // so many tags, half of them of at most so many words, make a list of tags

/** One text with its letters as names write them; `owners`: the character that each letter comes from. */
class Entries {
  constructor(typed) {
    const text = (this.text = parse(typed));
    this.letters = "";
    this.owners = [];
    for (const [start, stop] of text.tags) {
      if (this.letters) this.put("\n", start);
      for (const [letters, place] of lettersOf(text.clean, start, stop)) this.put(letters, place);
    }
    let at = 0;
    this.keys = text.words.map(([start, stop]) => {
      while (at < this.owners.length && (this.owners[at] < start || this.letters[at] === "\n")) at++;
      const first = at;
      while (at < this.owners.length && this.owners[at] < stop && this.letters[at] !== "\n") at++;
      return at > first ? [first, at] : null;
    });
  }

  put(letters, place) {
    this.letters += letters;
    for (let i = 0; i < letters.length; i++) this.owners.push(place);
  }

  /** Ranges of words, [first, last], that spell the key, one after the other and within a tag. */
  occurrences(wanted) {
    const found = [];
    let end = 0;
    for (let first = this.letters.indexOf(wanted); wanted && first >= 0; first = this.letters.indexOf(wanted, first + 1)) {
      const last = first + wanted.length;
      if (first < end) continue;
      const begin = this.wordFrom(this.owners[first]);
      let finish = begin;
      while (finish < this.text.words.length && this.text.words[finish][0] <= this.owners[last - 1]) finish++;
      if (--finish < begin) continue;
      const [from, to] = [this.keys[begin]?.[0] ?? first, this.keys[finish]?.[1] ?? last];
      if (first > from || last < to) continue;
      found.push([begin, finish]);
      end = last;
    }
    return found;
  }

  /** Number of the first word that ends after a character. */
  wordFrom(place) {
    let [low, high] = [0, this.text.words.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.text.words[middle][1] > place) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** {name, words} of every word or tag; words: range of the words that it is made of. */
  of(unit) {
    if (unit === "words") return this.text.words.map((word, i) => ({ name: this.text.name(word), words: [i, i] }));
    return this.text.tags.map((tag) => {
      const last = this.wordFrom(tag[1]) - 1;
      return { name: this.text.name(tag), words: [this.wordFrom(tag[0]), last] };
    });
  }

  unit(unit) {
    if (unit !== "auto") return unit;
    const lengths = this.of("tags").map(({ name }) => name.split(" ").length).sort((a, b) => a - b);
    return lengths.length >= TAG_LIST && lengths[lengths.length >> 1] <= SHORT ? "tags" : "words";
  }

  /** [name that finds it, name without number] of every entry. numbered: keys of names that get their number in any case. */
  listed(unit, numbered = new Set()) {
    unit = this.unit(unit);
    const entries = this.of(unit);
    const times = new Map();
    for (const { name } of entries) times.set(plain(name), (times.get(plain(name)) ?? 0) + 1);
    const numbers = new Map();
    return entries.map(({ name, words }) => {
      const key = plain(name);
      if (!numbers.has(key)) numbers.set(key, new Map(this.occurrences(key).map((range, i) => [String(range), i + 1])));
      const known = numbers.get(key);
      const isAlone = times.get(key) === 1 && (unit === "tags" || known.size <= 1);
      const number = known.get(String(words));
      return [number === undefined || (isAlone && !numbered.has(key)) ? name : `${name}#${number}`, name];
    });
  }

  /** Whether a name finds anything: whole words, or a part of one (what tokens can tell apart, only a run knows). */
  has(name) {
    return [name, withoutWeights(name)].some((spelling) => {
      const key = plain(spelling);
      const [, bare, number] = /^(.*\S)\s*#\s*(\d{1,4})\s*$/s.exec(spelling) ?? [];
      return this.letters.includes(key) || (number > 0 && this.occurrences(plain(bare)).length >= number);
    });
  }
}

const known = new Map();
function entriesOf(typed) {
  let found = known.get(typed);
  if (!found) {
    if (known.size > 64) known.clear();
    known.set(typed, (found = new Entries(typed)));
  }
  return found;
}

const isFiller = (name) => name.split(" ").every((word) => FILLERS.has(word.toLowerCase()));

/** Names of all entries of some texts in reading order, filler words left out where there are others. What occurs twice in one
 *  text is told apart by #1, #2; what occurs in several texts is one name. unit: "auto", "words" or "tags". */
export function namesOf(texts, unit = "auto", { fillers = false } = {}) {
  const lists = texts.map((text) => entriesOf(withoutComments(text)));
  const numbered = new Set(lists.flatMap((list) => list.listed(unit).filter(([name, bare]) => name !== bare)).map(([, bare]) => plain(bare)));
  const names = new Map();
  for (const list of lists) {
    for (const [name, bare] of list.listed(unit, numbered)) {
      const same = plain(bare) + name.slice(bare.length);
      if (!names.has(same)) names.set(same, [name, isFiller(bare)]);
    }
  }
  const all = [...names.values()];
  const content = fillers ? all : all.filter(([, filler]) => !filler);
  return (content.length ? content : all).slice(0, MOST).map(([name]) => name);
}

/** Where a name stands in a typed text for the `number`-th time, [start, stop] as slices take it, or null: weights and escapes inside of
 *  it are part of it, brackets around it are not. */
export function rangeOf(typed, name, number = 1) {
  const entries = entriesOf(typed);
  const { text } = entries;
  const found = entries.occurrences(plain(name))[number - 1];
  if (!found) return null;
  const [from, to] = [text.words[found[0]][0], text.words[found[1]][1]];
  if (text.cuts.some((cut) => from < cut && cut < to)) return null; // a weight begins or ends within
  const characters = [...typed];
  const [start, stop] = [text.places[from], text.places[to - 1] + 1];
  const width = (count) => characters.slice(0, count).join("").length;
  return [width(start > 0 && characters[start - 1] === "\\" && "()".includes(characters[start]) ? start - 1 : start), width(stop)];
}

/** The names in a words field that none of the texts has. */
export function missingNames(field, texts) {
  const lists = texts.map((text) => entriesOf(withoutComments(text)));
  return splitNames(field).filter((name) => !lists.some((list) => list.has(name)));
}

/** As the page itself takes comments out before it sends a text. */
const withoutComments = (text) => text.replace(/\/\*[\s\S]*?\*\/|(?<!:)\/\/.*/g, "");
