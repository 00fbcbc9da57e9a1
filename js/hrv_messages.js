// Errors, warnings and notes of the pack's nodes in ComfyUI's page, in the node that they are about.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { knownBefore } from "./messages/before.js";
import { Board } from "./messages/board.js";
import { EVENTS } from "./page/facts.js";
import { addStyle, chain, fieldsOf, outputOf } from "./page/node.js";
import { inOwnWords } from "./page/said.js";

const OURS = /^HRV/;
const OUTPUT = "hrv_messages";
const PLAIN = new Set(["ValueError", "OSError"]); // errors that are a sentence; of others the kind is worth knowing
const WAIT = 200; // milliseconds after a change of the graph
const MOST = 500; // nodes of which the page remembers what they said

const boards = new Map(); // node → its board
const told = new Map(); // place of a node → {error, output, ran, sampling}: what a run said of it; tabs come and go
let timer;

addStyle(new URL("./messages/messages.css", import.meta.url));

const root = () => app.rootGraph ?? app.graph;
const placeOf = (node) => `${root()?.id}:${node.graph === root() ? "" : node.graph?.id}:${node.id}`;

/** The node that an execution id means: "7", or "12:7" inside of subgraph node 12. */
function nodeAt(id) {
  let [graph, node] = [root(), null];
  for (const part of String(id).split(":")) {
    node = graph?.getNodeById?.(part) ?? graph?.getNodeById?.(Number(part));
    graph = node?.subgraph;
  }
  return node && OURS.test(node.comfyClass ?? "") ? node : null;
}

function tell(node, news) {
  const place = placeOf(node);
  const before = told.get(place);
  told.delete(place);
  told.set(place, { ...before, ...news });
  if (told.size > MOST) told.delete(told.keys().next().value);
  refresh(node);
}

function linesOf(node) {
  const { error, output, ran, sampling, said: parts } = told.get(placeOf(node)) ?? {};
  // a node that ran before the page was loaded
  const shown = ran ? output : outputOf(node, app.nodeOutputs ?? {}, app)?.[OUTPUT];
  const all = Array.isArray(shown) ? shown : [];
  const of = (kind) => all.flatMap((one) => one?.[kind] ?? []);
  const warnings = [...of("warnings"), ...(sampling?.warnings ?? [])];
  const english = [error, ...warnings].join("\n");
  const before = knownBefore(node, (other) => fieldsOf(other, app), root()).filter((note) => !isSaid(note, english));
  const said = Object.assign({}, ...all.map((one) => one?.said), sampling?.said, parts);
  const own = (kind) => (text) => [kind, inOwnWords(text, said)];
  return [
    ...(error ? [error].map(own("error")) : []),
    ...warnings.map(own("warning")),
    ...before.map(({ text }) => ["note", text]),
    ...of("notes").map(own("note")),
  ];
}

/** Whether the run said it too: the same sentence, or one about the same words. */
function isSaid({ english, names }, said) {
  return said.includes(english) || (names.length > 0 && names.every((name) => said.includes(`“${name}”`)));
}

function refresh(node) {
  if (node.graph && boards.has(node)) boards.get(node).show(linesOf(node));
}

/** Soon, and once for many changes. */
function refreshAll() {
  clearTimeout(timer);
  timer = setTimeout(() => [...boards.keys()].forEach(refresh), WAIT);
}

function heardError({ detail }) {
  const node = nodeAt(detail?.node_id);
  if (!node || node.comfyClass !== detail.node_type) return;
  const message = String(detail.exception_message ?? "").trim();
  tell(node, { error: PLAIN.has(detail.exception_type) ? message : `${detail.exception_type}: ${message}`, output: null, ran: true });
}

/** What a sampling said to the node that follows it; another sampling of the same prompt adds to it. */
function heardSampling({ detail }) {
  const node = nodeAt(detail?.node);
  if (!node) return;
  const before = told.get(placeOf(node))?.sampling;
  const same = before?.prompt === detail.prompt_id ? before : { warnings: [] };
  const warnings = [...new Set([...same.warnings, ...detail.warnings])];
  tell(node, { sampling: { prompt: detail.prompt_id, warnings, said: { ...same.said, ...detail.said } } });
}

/** What the error of a node that is about to fail is made of; ComfyUI itself sends only its text. */
function heardSaid({ detail }) {
  const node = nodeAt(detail?.node);
  if (node) tell(node, { said: detail.said });
}

app.registerExtension({
  name: "HRV.Messages",

  setup() {
    api.addEventListener(EVENTS.GRAPH_CHANGED, refreshAll);
    api.addEventListener(EVENTS.EXECUTION_ERROR, heardError);
    api.addEventListener("hrv_sampling", heardSampling);
    api.addEventListener("hrv_said", heardSaid);
    api.addEventListener(EVENTS.EXECUTION_START, () => {
      for (const one of told.values()) one.error = undefined;
      refreshAll();
    });
    api.addEventListener(EVENTS.EXECUTING, ({ detail }) => {
      const node = nodeAt(detail?.node ?? detail);
      if (node) tell(node, { error: undefined, output: null, ran: true, sampling: undefined });
    });
  },

  nodeCreated(node) {
    if (!OURS.test(node.comfyClass ?? "")) return;
    boards.set(node, new Board(node));
    chain(node, "onExecuted", (output) => tell(node, { error: undefined, output: output?.[OUTPUT], ran: true }));
    for (const change of ["onConfigure", "onConnectionsChange"]) chain(node, change, refreshAll);
    for (const widget of node.widgets ?? []) chain(widget, "callback", refreshAll);
    chain(node, "onRemoved", () => {
      boards.get(node)?.close();
      boards.delete(node);
    });
    refreshAll();
  },

  loadedGraphNode: refreshAll,
  afterConfigureGraph: refreshAll,
  onNodeOutputsUpdated: refreshAll,
});
