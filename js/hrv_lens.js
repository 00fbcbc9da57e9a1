// Attention Lens in ComfyUI's page: ties a lens (js/lens/view.js) to a node.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { LensView } from "./lens/view.js";
import { passGestures } from "./page/gestures.js";
import { linksFrom } from "./page/links.js";
import { addStyle, chain, fieldsOf, outputOf, settle } from "./page/node.js";
import { inOwnWords } from "./page/said.js";
import { say } from "./page/texts.js";

const NODE = "HRVLens";
const OUTPUT = "hrv_lens";
const MAPS = "/hrv/lens/maps";
const DRIVEN = ["threshold", "concept", "percent"]; // inputs that the lens has controls for
const LEAST_HEIGHT = 380;
const FIRST_SIZE = [440, 760];
const ROOM_OUTSIDE = 240; // pixels that a subgraph's node gets above the least when it first shows a lens
const OUTSIDE = "hrv_lens_outside"; // property of a subgraph's node: whether it shows the lens that is inside

const lenses = new Map(); // node → its views, the one in a subgraph's node among them
const outside = new Map(); // subgraph's node → {view, widget, inner} of the lens that is inside
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
    throw new Error(say("lens.noAnswer"));
  }
  if (!answer.ok) throw new Error(inOwnWords(body.error, body.said) ?? `ComfyUI answered ${answer.status}.`);
  return body;
}

function pictureAddress({ filename, subfolder, type }) {
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);
}

/** What the lens needs of its node. shownIn: the node that shows it. */
function hostOf(node, shownIn) {
  return {
    ...fieldsOf(node, app),
    look: () => node.properties.hrv_lens,
    setLook: (look) => (node.properties.hrv_lens = look),
    ask,
    pictureAddress,
    hasUsers: () => (node.outputs ?? []).some((_, slot) => linksFrom(node, slot).length > 0),
    run: () => app.queuePrompt(0),
    toMaskEditor: (blob, reference) => toMaskEditor(shownIn, blob, reference),
  };
}

/** Puts a mask into a copy of the lens's image, which ComfyUI makes in its input folder, shows it in a Load Image node beside the lens,
 *  and opens that in the mask editor. */
async function toMaskEditor(node, blob, reference) {
  const body = new FormData();
  const name = `hrv_mask_${Date.now()}.png`;
  body.append("image", blob, name);
  body.append("original_ref", JSON.stringify(reference));
  body.append("type", "input");
  body.append("subfolder", "clipspace");
  const answer = await api.fetchApi("/upload/mask", { method: "POST", body });
  if (!answer.ok) throw new Error(`ComfyUI answered ${answer.status}`);
  const saved = await answer.json();
  const file = `${saved.subfolder ? `${saved.subfolder}/` : ""}${saved.name}`;
  app.canvas.emitBeforeChange?.();
  const image = globalThis.LiteGraph.createNode("LoadImage");
  image.pos = [node.pos[0] + node.size[0] + 40, node.pos[1]];
  node.graph.add(image);
  const field = image.widgets.find((widget) => widget.name === "image");
  const values = field.options?.values;
  if (Array.isArray(values) && !values.includes(`${file} [input]`)) values.push(`${file} [input]`);
  field.value = `${file} [input]`;
  field.callback?.(field.value);
  app.canvas.emitAfterChange?.();
  app.canvas.deselectAll?.();
  (app.canvas.select ?? app.canvas.selectNode)?.call(app.canvas, image);
  for (let tries = 0; tries < 50 && !image.imgs?.length; tries++) await new Promise((done) => setTimeout(done, 100));
  await app.extensionManager.command.execute("Comfy.MaskEditor.OpenMaskEditor");
}

function show(node, output) {
  const payload = output?.[OUTPUT]?.[0];
  if (payload?.version !== 1) return;
  for (const view of lenses.get(node) ?? []) {
    if (payload === view.shownPayload) continue;
    view.shownPayload = payload;
    view.show({ ...payload, frames: payload.frames.map((frame) => ({ ...frame })) });
  }
}

const update = (node) => lenses.get(node)?.forEach((view) => view.update());

/** Puts a view of a lens node into a node: that one itself, or the subgraph's that it is in. */
function addView(node, shownIn) {
  const view = new LensView(hostOf(node, shownIn));
  lenses.get(node).add(view);
  passGestures(view.element, app);
  // Nodes 2.0 mounts an element once for each node id, widget name and type: after undo, which makes the node anew under
  // its old id, only a type of its own brings the new element in
  const widget = shownIn.addDOMWidget("lens", `hrv_lens_${++made}`, view.element, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => LEAST_HEIGHT,
    getValue: () => "",
    setValue: () => {},
  });
  widget.serialize = false;
  return { view, widget };
}

/** Shows the lens on the outside of a subgraph whose node asks for it. The page promotes only what has an input, so the node gets a view
 *  of its own. Not on pages whose subgraph's nodes keep no widgets but promoted ones. */
function showOutside(node) {
  // a node that is only copied has a graph too, but is not in it
  if (!node.properties?.[OUTSIDE] || !node.graph?._nodes.includes(node) || outside.has(node)) return;
  if (node.addCustomWidget === globalThis.LiteGraph.LGraphNode.prototype.addCustomWidget) return;
  const inner = node.subgraph._nodes.find((one) => lenses.has(one));
  if (!inner) return;
  outside.set(node, { ...addView(inner, node), inner });
  const least = node.computeSize()[1];
  if (node.size[1] < least) node.setSize([Math.max(node.size[0], FIRST_SIZE[0]), least + ROOM_OUTSIDE]); // shown for the first time
  recall();
}

function closeOutside(node) {
  const { inner, view } = outside.get(node) ?? {};
  outside.delete(node);
  lenses.get(inner)?.delete(view);
  view?.close();
}

/** Shows again what the page remembers of an earlier run, after undo, or when a tab comes back. */
function recall(outputs = app.nodeOutputs ?? {}) {
  for (const node of lenses.keys()) show(node, outputOf(node, outputs, app));
}

app.registerExtension({
  name: "HRV.Lens",

  nodeCreated(node) {
    if (node.isSubgraphNode?.()) {
      const soon = () => setTimeout(() => showOutside(node), 0); // when its inside is there
      chain(node, "onConfigure", soon);
      chain(node, "onRemoved", () => closeOutside(node));
      return;
    }
    if (node.comfyClass !== NODE) return;
    for (const name of DRIVEN) {
      const widget = node.widgets.find((w) => w.name === name);
      if (widget) widget.hidden = true;
      if (widget?.options) widget.options.hidden = true; // so older pages know it in Nodes 2.0
    }
    lenses.set(node, new Set());
    addView(node, node);
    for (const name of ["words", ...DRIVEN]) {
      const source = node.widgets.find((w) => w.name === name);
      if (source) chain(source, "callback", () => queueMicrotask(() => update(node)));
    }
    chain(node, "onExecuted", (output) => show(node, output));
    chain(node, "onConfigure", () => update(node));
    chain(node, "onRemoved", () => {
      for (const [host, { inner, widget }] of [...outside]) {
        if (inner !== node) continue;
        closeOutside(host);
        host.removeWidget(widget);
      }
      for (const view of lenses.get(node) ?? []) view.close();
      lenses.delete(node);
    });
    node.setSize([Math.max(node.size[0], FIRST_SIZE[0]), Math.max(node.size[1], FIRST_SIZE[1])]);
  },

  loadedGraphNode(node) {
    if (node.comfyClass !== NODE) return;
    setTimeout(recall, 0);
    setTimeout(() => {
      const [own] = lenses.get(node) ?? [];
      settle(node, own?.element);
    }, 300); // when the page has drawn its nodes
  },

  onNodeOutputsUpdated(outputs) {
    recall(outputs);
  },
});
