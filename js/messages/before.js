// What can be known of a node before it runs: a missing CLIP, words that are not in the prompt. Only what is certain is told.

import { RUNS } from "../page/facts.js";
import { listed } from "../page/said.js";
import { inEnglish, say } from "../page/texts.js";
import { DEMO_KNOWS } from "../words/demo.js";
import { missingNames, namesOf } from "../words/entries.js";
import { isTraced, promptOf, upstream } from "../words/graph.js";
import { splitNames } from "../words/names.js";

const RECORD = "HRVRecordAttention";
// nodes whose `clip` output notes the words of what it encodes
const TRACERS = new Set([RECORD, "HRVStrengthenConcept", "HRVAdjustConcept", "HRVScaleHeads", "HRVAttendExcite", "HRVRememberRun"]);
// node → its field with words of the prompt, and whether that takes more than one
const WORDS = {
  HRVHeatmap: ["words", true],
  HRVLens: ["words", true],
  HRVCompareConcepts: ["word", false],
  HRVAutoHeads: ["word", false],
  HRVStrengthenConcept: ["words", true],
  HRVAdjustConcept: ["words", true],
  HRVScaleHeads: ["words", true],
  HRVAttendExcite: ["words", true],
  HRVPromptEdit: ["words", true],
};
const READERS = new Set(["HRVHeatmap", "HRVLens", "HRVPromptReport", "HRVCompareConcepts", "HRVAutoHeads"]);
const WITHOUT_CHIPS = new Set(["HRVLens", "HRVPromptReport"]); // elsewhere the word picker says that the prompt is empty
const PLAIN_TEXT = /^CLIPTextEncode/; // ComfyUI's own text nodes encode what was typed; others may rewrite it
const REWRITTEN = /__\S+__|\{[^{}]*\|[^{}]*\}/; // wildcards, and choices that the page makes when it queues

/** [{text, english, names}]: in the page's language, as the server would say it, and the words that it is about. fieldsFor: gives the fields of a node, as js/page/node.js has them; root: the outermost graph. */
export function knownBefore(node, fieldsFor, root) {
  if (node.mode !== RUNS || !node.graph) return [];
  const fields = fieldsFor(node);
  const role = fields.get("role") ?? "positive";
  const prompt = promptOf(node, role, root);
  return [
    ...(TRACERS.has(node.type) ? aboutClip(node, fieldsFor, prompt) : []),
    ...(READERS.has(node.type) && role === "negative" ? aboutRole(node, fieldsFor, root) : []),
    ...(node.type === "HRVDemoCheckpoint" ? aboutDemo(prompt) : []),
    ...aboutWords(node, fields, role, prompt),
  ];
}

const note = (key, values = {}, names = []) => ({ text: say(key, values), english: inEnglish(key, values), names });

/** Words that the demo model has never seen. */
function aboutDemo({ texts }) {
  const strange = namesOf(texts, "words").map((name) => name.replace(/#\d+$/, "")).filter((name) => !DEMO_KNOWS.has(name.toLowerCase()));
  const names = [...new Set(strange)];
  if (!names.length) return [];
  const shown = names.length > 4 ? names.slice(0, 3) : names;
  return [note("before.demo", { words: listed(shown, names.length - shown.length) }, shown)];
}

/** Whether the words of the text nodes can be known. */
function aboutClip(node, fieldsFor, { encoders }) {
  const fields = fieldsFor(node);
  const traced = encoders.map((encoder) => isTraced(encoder, (other) => TRACERS.has(other.type) && fieldsFor(other).locked("clip")));
  const untraced = encoders.filter((_, i) => traced[i] === false).map((encoder) => encoder.node.title || encoder.node.type);
  if (!fields.locked("clip")) {
    // steering nodes and Remember Run need no CLIP where another node notes the words
    const needed = node.type === RECORD ? fields.locked("model") && !traced.includes(true) : untraced.length > 0;
    return needed ? [note("before.noClip")] : [];
  }
  if (!untraced.length) return [];
  const names = [...new Set(untraced)];
  return [note(untraced.length > 1 ? "before.otherClips" : "before.otherClip", { nodes: listed(names) }, names)];
}

/** The negative prompt is asked for, but not recorded. */
function aboutRole(node, fieldsFor, root) {
  const recorders = upstream(node, "HRV_ATTENTION", root);
  const off = (other) => other.type === RECORD && fieldsFor(other).get("negative") === false && !fieldsFor(other).locked("negative");
  return recorders.length && recorders.every(off) ? [note("before.negativeOff")] : [];
}

function aboutWords(node, fields, role, { texts, complete, encoders }) {
  const [name, many] = WORDS[node.type] ?? [];
  const typed = String(fields.get("prompt_text") ?? "").trim();
  const all = typed ? [...texts, typed] : texts;
  const certain = complete && encoders.length && encoders.every((encoder) => PLAIN_TEXT.test(encoder.node.type)) && !all.some((text) => REWRITTEN.test(text));
  if (!certain || fields.locked("prompt_text")) return [];
  if (!all.some((text) => text.trim())) return WITHOUT_CHIPS.has(node.type) ? [note("words.empty")] : [];
  if (!name || fields.locked(name) || (node.type === "HRVPromptEdit" && !fields.locked("vectors"))) return [];
  const field = String(fields.get(name) ?? "");
  if (!many && splitNames(field).length > 1) return []; // one phrase with a comma
  const missing = missingNames(field, all);
  if (!missing.length) return [];
  const key = `before.${role === "negative" ? "notInNegative" : "notThere"}${missing.length > 1 ? "Many" : ""}`;
  return [note(key, { words: listed(missing) }, missing)];
}
