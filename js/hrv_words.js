// Word picking in ComfyUI's page: the words of the connected prompt as buttons below a node's words field.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { EVENTS } from "./page/facts.js";
import { addStyle, chain, fieldsOf, outputOf, settle } from "./page/node.js";
import { closeGaps, mend } from "./page/saved.js";
import { say } from "./page/texts.js";
import { namesOf } from "./words/entries.js";
import { promptOf } from "./words/graph.js";
import { WordPicker } from "./words/picker.js";

// node → the field that takes words, and whether it takes more than one
const FIELDS = {
  HRVHeatmap: { name: "words", many: true },
  HRVCompareConcepts: { name: "word", many: false },
  HRVAutoHeads: { name: "word", many: false },
  HRVStrengthenConcept: { name: "words", many: true },
  HRVAdjustConcept: { name: "words", many: true },
  HRVScaleHeads: { name: "words", many: true },
  HRVAttendExcite: { name: "words", many: true },
  HRVPromptEdit: { name: "words", many: true },
};
const TELLERS = ["HRVLens", ...Object.keys(FIELDS)]; // what they show after a run tells the prompt's words
const [HEIGHT, TALL, MANY] = [58, 112, 24]; // pixels; of more words than MANY
const MARGIN = 6;
const WAIT = 150; // milliseconds after a change of the graph

const TOASTS = {
  mended: { severity: "info", life: 15000 },
  wrong: { severity: "warn" },
};

const pickers = new Map(); // node → its picker
const tellers = new Set();
const told = new Map(); // place of a sampler in the page → names that a run told
const saidWrong = new Set(); // places of nodes
const damaged = { mended: new Set(), wrong: new Set() }; // titles of nodes that are yet to be told
let made = 0;
let timer, telling;

addStyle(new URL("./words/words.css", import.meta.url));

const root = () => app.rootGraph ?? app.graph;
const placeOf = (node) => `${node.graph?.id}:${node.id}`;
const roleOf = (node) => fieldsOf(node, app).get("role") ?? "positive";

/** Keeps the names that a node's output tells, for every node that reads the same sampling. */
function learn(node, output) {
  const names = output?.hrv_words ?? output?.hrv_lens?.[0]?.frames?.flatMap?.((frame) => frame.names.filter((_, i) => !frame.fillers?.includes(i)));
  if (!Array.isArray(names) || !names.length) return;
  const unique = [...new Set(names.filter((name) => typeof name === "string"))];
  for (const source of promptOf(node, roleOf(node), root()).sources) told.set(`${placeOf(source)} ${roleOf(node)}`, unique);
}

function refresh(node) {
  const picker = pickers.get(node);
  if (!picker || !node.graph) return;
  const fields = fieldsOf(node, app);
  const { name } = FIELDS[node.comfyClass];
  const { texts, complete, sources } = promptOf(node, roleOf(node), root());
  const seen = complete ? null : sources.map((source) => told.get(`${placeOf(source)} ${roleOf(node)}`)).find(Boolean);
  const names = seen ?? namesOf(texts, fields.get("unit") ?? "auto");
  const empty = complete && texts.length && !texts.some((text) => text.trim());
  picker.show(names, say(empty ? "words.empty" : sources.length ? "words.unknown" : "words.unconnected"), fields.locked(name));
  picker.mark(String(fields.get(name) ?? ""));
}

/** Says which nodes came from a damaged file; once for all nodes of a file. state: as `mend` returns it. */
function tell(node, state) {
  // undo and a change of tabs load the graph again: what nobody has put right since is not said again
  if (!state || (state === "wrong" && saidWrong.has(placeOf(node)))) return;
  if (state === "wrong") saidWrong.add(placeOf(node));
  clearTimeout(telling);
  damaged[state].add(node.title);
  telling = setTimeout(() => {
    for (const [what, titles] of Object.entries(damaged)) {
      const said = { summary: say(`saved.${what}`), detail: say(`saved.${what}Hint`, { nodes: [...titles].join(", ") }) };
      if (titles.size) app.extensionManager?.toast?.add({ ...TOASTS[what], ...said });
      titles.clear();
    }
  }, WAIT);
}

/** Soon, and once for many changes. */
function refreshAll() {
  clearTimeout(timer);
  timer = setTimeout(() => {
    for (const node of tellers) learn(node, outputOf(node, app.nodeOutputs ?? {}, app));
    for (const node of pickers.keys()) refresh(node);
  }, WAIT);
}

function addPicker(node) {
  const { name, many } = FIELDS[node.comfyClass];
  const place = node.widgets?.findIndex((widget) => widget.name === name) ?? -1;
  if (place < 0) return;
  const fields = fieldsOf(node, app);
  const pick = (names) => {
    fields.set(name, names.join(", "));
    fields.settled();
    refresh(node);
  };
  const picker = new WordPicker({ pick, look: () => refresh(node) }, many);
  pickers.set(node, picker);
  // a type of its own, so that Nodes 2.0 mounts it anew after undo (see hrv_lens.js)
  const widget = node.addDOMWidget("word_picker", `hrv_words_${++made}`, picker.element, {
    serialize: false,
    hideOnZoom: false,
    margin: MARGIN,
    getValue: () => "",
    setValue: () => {},
  });
  widget.serialize = false;
  // a height of its own: what could grow would take the node's free space from pictures
  widget.computeLayoutSize = undefined;
  widget.computeSize = (width) => [width ?? 0, picker.buttons.length > MANY ? TALL : HEIGHT];
  node.widgets.splice(node.widgets.indexOf(widget), 1);
  node.widgets.splice(place + 1, 0, widget);
  chain(node, "onSerialize", closeGaps);
  chain(node, "onConfigure", (saved) => {
    const kept = node.widgets.filter((field) => field.serialize !== false);
    tell(node, mend(saved, kept, name));
  });
  for (const source of node.widgets.filter((w) => [name, "unit", "role"].includes(w.name))) {
    chain(source, "callback", () => queueMicrotask(() => refresh(node)));
  }
  chain(node, "onRemoved", () => {
    picker.close();
    pickers.delete(node);
  });
  const [width, height] = node.computeSize();
  node.setSize([Math.max(node.size[0], width), Math.max(node.size[1], height)]);
}

app.registerExtension({
  name: "HRV.Words",

  setup() {
    api.addEventListener(EVENTS.GRAPH_CHANGED, refreshAll);
  },

  nodeCreated(node) {
    if (node.comfyClass in FIELDS) addPicker(node);
    if (!TELLERS.includes(node.comfyClass)) return;
    tellers.add(node);
    chain(node, "onExecuted", (output) => {
      learn(node, output);
      refreshAll();
    });
    chain(node, "onRemoved", () => tellers.delete(node));
    for (const change of ["onConfigure", "onConnectionsChange"]) chain(node, change, refreshAll);
    refreshAll();
  },

  loadedGraphNode(node) {
    setTimeout(() => settle(node, pickers.get(node)?.element), 300); // when the page has drawn its nodes
  },

  afterConfigureGraph() {
    refreshAll();
  },
});
