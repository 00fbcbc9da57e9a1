// Remedies of Prompt Report: a change of the prompt's text. Pure: text in, text out, or null where the words cannot be told apart in it.

import { rangeOf } from "../words/entries.js";

const NUMBERED = /^(.*\S)\s*#\s*(\d{1,4})$/s;

/** The text with the remedy {kind, words, weight} applied. */
export function remedied(text, { kind, words, weight }) {
  if (kind === "weight") return weighted(text, words[0], weight);
  if (kind === "first") return first(text, words[0]);
  if (kind === "split") return split(text, words[0], words[1]);
  if (kind === "remove") return words.reduce((rest, word) => (rest === null ? null : without(rest, word)), text);
  return null;
}

/** Where a listed name (`fish`, `cat#2`) stands in the text, [start, stop], UTF-16. */
function placeOf(text, name) {
  const [, bare, number] = NUMBERED.exec(name) ?? [null, name, "1"];
  return rangeOf(text, bare, Number(number)) ?? rangeOf(text, name, 1);
}

/** The brackets of a weight that hold exactly this range: [start, stop, inside], or null. */
function bracketOf(text, [start, stop]) {
  const before = /(^|[^\\])\(\s*$/.exec(text.slice(0, start));
  const after = /^\s*(?::\s*[+-]?[\d.]+\s*)?\)/.exec(text.slice(stop));
  if (!before || !after) return null;
  return [before.index + before[1].length, stop + after[0].length];
}

function weighted(text, name, weight) {
  const place = placeOf(text, name);
  if (!place) return null;
  const [start, stop] = bracketOf(text, place) ?? place;
  return `${text.slice(0, start)}(${text.slice(...place)}:${weight})${text.slice(stop)}`;
}

/** The tag or word at the front. In a sentence, the words that belong to it are not known: it is named first, and stays. */
function first(text, name) {
  const place = placeOf(text, name);
  if (!place) return null;
  const [start, stop] = bracketOf(text, place) ?? place;
  const [said, before, after] = [text.slice(start, stop), text.slice(0, start), text.slice(stop)];
  const isTag = /(^|[,，、،\n])\s*$/.test(before) && /^\s*($|[,，、،\n])/.test(after);
  if (!isTag) return `${said}, ${text.trimStart()}`;
  if (!before.trim()) return null; // it is first
  const rest = `${before.replace(/[,，、،]\s*$/, "")}${after}`.trim();
  return `${said}, ${rest}`;
}

/** A comma between two things: “a star and a fish” is “a star, a fish”. */
function split(text, one, other) {
  const places = [placeOf(text, one), placeOf(text, other)];
  if (places.includes(null)) return null;
  const [[, end], [begin]] = places.sort((a, b) => a[0] - b[0]);
  if (begin < end) return null;
  const between = text.slice(end, begin);
  if (/[,，、،\n]/.test(between)) return null; // there is one
  const joined = /^\s*(and|with|&)\s+/i.exec(between);
  return `${text.slice(0, end)}, ${between.slice(joined ? joined[0].length : 0).trimStart()}${text.slice(begin)}`;
}

function without(text, name) {
  const place = placeOf(text, name);
  if (!place) return null;
  const [start, stop] = bracketOf(text, place) ?? place;
  const [before, after] = [text.slice(0, start).trimEnd(), text.slice(stop).trimStart()];
  const isTag = /(^|[,，、،\n])$/.test(before) && /^($|[,，、،\n])/.test(after);
  if (!isTag) return [before, after].filter(Boolean).join(/^[,，、،.]/.test(after) ? "" : " ");
  return before ? before.replace(/[,，、،]$/, "") + after : after.replace(/^[,，、،]\s*/, "");
}
