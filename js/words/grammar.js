// What an artist typed, parsed as hrv/prompt/typed_text.py parses it: content without weights and escapes, its words and its tags.
// tests/data/typed_prompts.json holds both to the same results. Characters are code points.

const SPACELESS =
  /[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u303b\u3040-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\u{20000}-\u{3ffff}]/u;
const EMOJI = /[\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff\u{1f000}-\u{1faff}]/u;
const PARTING =
  /[\u00a1\u00ab\u00bb\u00bf\u2013-\u2015\u201c-\u201f\u2026\u2039\u203a\u3001-\u3004\u3008-\u3020\u3030\u303d-\u303f\u30a0\u30fb\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]/u;
const SPACES = /[\t\v\f \x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]/;
const COMMAS = ",，、､،";
const LINE_BREAKS = "\n\r\u2028\u2029";
const JOINS = /[\uff9e\uff9f\u{1f3fb}-\u{1f3ff}\p{M}\p{Cf}]/u;

// a letter or digit · c letter of a script without spaces · e emoji · j mark that joins the character before it · s space ·
// n line break · , comma · p parting punctuation · - any other mark
const classes = new Map();
function classOf(letter) {
  let found = classes.get(letter);
  if (!found) classes.set(letter, (found = findClass(letter)));
  return found;
}
function findClass(letter) {
  if (COMMAS.includes(letter)) return ",";
  if (LINE_BREAKS.includes(letter)) return "n";
  if (SPACES.test(letter)) return "s";
  if (JOINS.test(letter)) return "j";
  if (EMOJI.test(letter)) return "e";
  if (/[\p{L}\p{N}]/u.test(letter)) return SPACELESS.test(letter) ? "c" : "a";
  return PARTING.test(letter) ? "p" : "-";
}

const RUN = /[ac]+(?:(?<=a)-+(?=a)[ac]+)*|e+/g;
const FLOAT = /^\s*[+-]?(?:(?:\d(?:_?\d)*\.?(?:\d(?:_?\d)*)?|\.\d(?:_?\d)*)(?:e[+-]?\d(?:_?\d)*)?|inf|infinity|nan)\s*$/i;
const IDENTIFIER = [..."embedding:"];
const PAIRS = ["()", "[]", "{}"];

/** One text. Ranges are [first, one after the last] character of `clean`, an array of characters. */
class TypedText {
  constructor(typed) {
    const text = [...typed];
    this.clean = [];
    this.places = []; // of each character of `clean` in the typed text
    this.cuts = []; // where a part with a weight of its own begins
    this.embeddings = [];
    for (const [start, stop] of weighted(text)) {
      const first = this.clean.length;
      if (first) this.cuts.push(first);
      for (let i = start; i < stop; i++) {
        if (text[i] === "\\" && i + 1 < stop && "()".includes(text[i + 1])) continue;
        this.clean.push(text[i]);
        this.places.push(i);
      }
      this.embeddings.push(...embeddingsOf(this.clean, first));
    }
    this.classes = this.clean.map(classOf).join("").replace(/([ace])(j+)/g, (_, letter, marks) => letter.repeat(1 + marks.length));
    this.classes = this.classes.replaceAll("j", "-");
    this.tags = [...this.findTags()];
    this.words = this.tags.flatMap((tag) => [...this.findWords(tag)]);
  }

  /** A word or tag as it is shown: as typed, without escapes and weights. */
  name([start, stop]) {
    const isLetter = (place) => "ace".includes(this.classes[place]);
    let text = "";
    let at = start;
    for (const cut of this.cuts) {
      if (!(start < cut && cut < stop && isLetter(cut - 1) && isLetter(cut))) continue;
      text += this.clean.slice(at, cut).join("") + " ";
      at = cut;
    }
    text += this.clean.slice(at, stop).join("");
    return text.split(new RegExp(`[${SPACES.source.slice(1, -1)}${LINE_BREAKS}]+`)).filter(Boolean).join(" ");
  }

  *findTags() {
    let closed = this.classes;
    for (const [start, stop] of this.embeddings) closed = closed.slice(0, start) + "a".repeat(stop - start) + closed.slice(stop);
    for (const found of closed.matchAll(/[^,n]+/g)) {
      let [start, stop] = [found.index, found.index + found[0].length];
      while (start < stop && closed[start] === "s") start++;
      while (start < stop && closed[stop - 1] === "s") stop--;
      if (start < stop) yield [start, stop];
    }
  }

  *findWords([start, stop]) {
    const inside = this.classes.slice(start, stop);
    const letters = inside.replace(/[^ac]/g, "").length;
    if (!inside.includes("e") && (!letters || (letters === 1 && inside.length > 1 && !inside.includes("s")))) {
      yield [start, stop]; // `>_<`, `:d`
      return;
    }
    let at = start;
    for (const [first, last] of this.embeddings) {
      if (first < start || first >= stop) continue;
      yield* this.runs(at, first);
      yield [first, last];
      at = last;
    }
    yield* this.runs(at, stop);
  }

  /** Words between two places; white space and the borders of weights part them. */
  *runs(start, stop) {
    const borders = [start, ...this.cuts.filter((cut) => start < cut && cut < stop), stop];
    for (let i = 1; i < borders.length; i++) {
      for (const chunk of this.classes.slice(borders[i - 1], borders[i]).matchAll(/[^sn]+/g)) {
        const first = borders[i - 1] + chunk.index;
        const last = first + chunk[0].length;
        let end = first;
        for (const run of chunk[0].matchAll(RUN)) {
          const word = this.withBrackets([first + run.index, first + run.index + run[0].length], end, last);
          end = word[1];
          yield word;
        }
      }
    }
  }

  /** A run with the brackets around it that pair with brackets inside it: `tracer_(overwatch` takes `)`. */
  withBrackets([start, stop], least, most) {
    for (const [opening, closing] of PAIRS) {
      let [level, lowest] = [0, 0];
      for (const letter of this.clean.slice(start, stop)) {
        level += (letter === opening) - (letter === closing);
        lowest = Math.min(lowest, level);
      }
      for (; lowest < 0 && start > least && this.clean[start - 1] === opening; start--) [lowest, level] = [lowest + 1, level + 1];
      for (; level > 0 && stop < most && this.clean[stop] === closing; stop++) level--;
    }
    return [start, stop];
  }
}

/** Ranges of one weight each, in reading order, as ComfyUI's `token_weights` finds them. text: characters. */
function weighted(text) {
  const isEscaped = (place) => place > 0 && text[place - 1] === "\\";
  const found = [];
  const waiting = [[0, text.length, true]];
  while (waiting.length) {
    const [start, stop, mayHoldBrackets] = waiting.pop();
    if (!mayHoldBrackets) {
      found.push([start, stop]);
      continue;
    }
    const parts = [];
    for (let [first, last] of bracketed(text, start, stop, isEscaped)) {
      if (last - first < 2 || text[first] !== "(" || isEscaped(first) || text[last - 1] !== ")" || isEscaped(last - 1)) {
        parts.push([first, last, false]);
        continue;
      }
      [first, last] = [first + 1, last - 1];
      const colon = text.lastIndexOf(":", last - 1);
      if (colon > first && FLOAT.test(text.slice(colon + 1, last).join(""))) last = colon;
      parts.push([first, last, true]);
    }
    waiting.push(...parts.reverse());
  }
  return found;
}

/** A range cut at its outermost brackets, as ComfyUI's `parse_parentheses` does it, unbalanced ones included. */
function* bracketed(text, start, stop, isEscaped) {
  let [level, first] = [0, start];
  for (let place = start; place < stop; place++) {
    if ((text[place] !== "(" && text[place] !== ")") || isEscaped(place)) continue;
    if (text[place] === "(") {
      if (level === 0 && place > first) {
        yield [first, place];
        first = place;
      }
      level++;
    } else if (--level === 0) {
      yield [first, place + 1];
      first = place + 1;
    }
  }
  if (first < stop) yield [first, stop];
}

/** Ranges of textual inversions in the content from `first` on. */
function embeddingsOf(clean, first) {
  const found = [];
  const isSpace = (letter) => /\s/.test(letter);
  for (let i = first; i < clean.length; i++) {
    if (clean[i] !== "e" || (i > first && !isSpace(clean[i - 1]))) continue;
    if (!IDENTIFIER.every((letter, k) => clean[i + k] === letter)) continue;
    let start = i + IDENTIFIER.length;
    while (start < clean.length && isSpace(clean[start])) start++;
    let stop = start;
    while (stop < clean.length && !isSpace(clean[stop]) && !"<[".includes(clean[stop])) stop++;
    while (stop > start && clean[stop - 1] === ",") stop--;
    if (stop > start) found.push([i, stop]);
    i = Math.max(i, stop - 1);
  }
  return found;
}

const known = new Map();
/** The parts of a typed text. */
export function parse(typed) {
  let text = known.get(typed);
  if (!text) {
    if (known.size > 64) known.clear();
    known.set(typed, (text = new TypedText(typed)));
  }
  return text;
}
