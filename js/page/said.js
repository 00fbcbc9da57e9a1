// What the server says, in the language of the page: it sends English sentences, and beside them `said`, what each is made of.

import { figure, filled, languageOf, LOCALE, say } from "./texts.js";

const UNSPACED = new Set(["zh", "ja"]); // languages without a space between sentences
const language = languageOf(LOCALE);
const messages = language ? await read(new URL(`../languages/messages/${language}.json`, import.meta.url)) : {};

async function read(address) {
  try {
    return await (await fetch(address)).json();
  } catch {
    return {}; // what the server says stays English
  }
}

/** A sentence in the language of the page; English where it has no translation. said: English sentence → what it is made of, as hrv/wording.py
 *  makes it. */
export function inOwnWords(sentence, said) {
  const parts = language && said?.[sentence];
  return (parts && spoken(parts)) ?? sentence;
}

/** Null where a translation is missing. */
function spoken(part) {
  if (typeof part !== "object") return String(part);
  if (part.figure) return figure(part.figure);
  if (part.names) return listed(part.names, part.more);
  if (part.sentences) {
    const told = part.sentences.map(spoken);
    return told.includes(null) ? null : told.join(UNSPACED.has(language) ? "" : " ");
  }
  const text = messages[part.text];
  const values = Object.entries(part.values).map(([name, value]) => [name, spoken(value)]);
  if (text === undefined || values.some(([, value]) => value === null)) return null;
  return filled(text, Object.fromEntries(values));
}

const lists = new Intl.ListFormat(LOCALE === "en" ? "en-GB" : LOCALE, { type: "conjunction" });

/** Names in quotes, as a list, and how many more there are. */
export const listed = (names, more = 0) =>
  lists.format([...names.map((word) => say("message.word", { word })), ...(more ? [say("message.more", { count: more })] : [])]);
