// Attention Lens in ComfyUI's page: ties a lens (js/lens/view.js) to a node.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { LensView } from "./lens/view.js";
import { addStyle, chain, fieldsOf, outputOf, settle } from "./page/node.js";

const NODE = "HRVLens";
const OUTPUT = "hrv_lens";
const MAPS = "/hrv/lens/maps";
const DRIVEN = ["threshold", "concept", "percent"]; // inputs that the lens has controls for
const LEAST_HEIGHT = 380;
const FIRST_SIZE = [440, 760];

const lenses = new Map(); // node → its view
let made = 0;

addStyle(new URL("./lens/lens.css", import.meta.url));

async function ask(question) {
  let answer, body;
  try {
    answer = await api.fetchApi(MAPS, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(question),
    });
    body = await answer.json();
  } catch {
    throw new Error("ComfyUI is not responding. Is it still running?");
  }
  if (!answer.ok) throw new Error(body.error ?? `ComfyUI answered ${answer.status}.`);
  return body;
}

function pictureAddress({ filename, subfolder, type }) {
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);
}

/** What the lens needs of its node. */
function hostOf(node) {
  return {
    ...fieldsOf(node, app),
    look: () => node.properties.hrv_lens,
    setLook: (look) => (node.properties.hrv_lens = look),
    ask,
    pictureAddress,
  };
}

function show(node, output) {
  const payload = output?.[OUTPUT]?.[0];
  if (!payload || payload.version !== 1 || payload === lenses.get(node)?.shownPayload) return;
  const view = lenses.get(node);
  if (!view) return;
  view.shownPayload = payload;
  view.show({ ...payload, frames: payload.frames.map((frame) => ({ ...frame })) });
}

/** Shows again what the page remembers of an earlier run, after undo, or when a tab comes back. */
function recall(outputs = app.nodeOutputs ?? {}) {
  for (const node of lenses.keys()) show(node, outputOf(node, outputs, app));
}

app.registerExtension({
  name: "HRV.Lens",

  nodeCreated(node) {
    if (node.comfyClass !== NODE) return;
    for (const name of DRIVEN) {
      const widget = node.widgets.find((w) => w.name === name);
      if (widget) widget.hidden = true;
    }
    const view = new LensView(hostOf(node));
    lenses.set(node, view);
    // Nodes 2.0 mounts an element once for each node id, widget name and type: after undo, which makes the node anew under
    // its old id, only a type of its own brings the new element in
    const widget = node.addDOMWidget("lens", `hrv_lens_${++made}`, view.element, {
      serialize: false,
      hideOnZoom: false,
      getMinHeight: () => LEAST_HEIGHT,
      getValue: () => "",
      setValue: () => {},
    });
    widget.serialize = false;
    for (const name of ["words", ...DRIVEN]) {
      const source = node.widgets.find((w) => w.name === name);
      if (source) chain(source, "callback", () => queueMicrotask(() => lenses.has(node) && view.update()));
    }
    chain(node, "onExecuted", (output) => show(node, output));
    chain(node, "onConfigure", () => lenses.has(node) && view.update());
    chain(node, "onRemoved", () => {
      view.close();
      lenses.delete(node);
    });
    node.setSize([Math.max(node.size[0], FIRST_SIZE[0]), Math.max(node.size[1], FIRST_SIZE[1])]);
  },

  loadedGraphNode(node) {
    if (node.comfyClass !== NODE) return;
    setTimeout(recall, 0);
    setTimeout(() => settle(node, lenses.get(node)?.element), 300); // when the page has drawn its nodes
  },

  onNodeOutputsUpdated(outputs) {
    recall(outputs);
  },
});
