// What the pack's widgets ask of a node in ComfyUI's page.

import { isConnected } from "./links.js";

/** Calls `after` once `object[name]` has done what it did before. */
export function chain(object, name, after) {
  const before = object[name];
  object[name] = function (...values) {
    const result = before?.apply(this, values);
    after.apply(this, values);
    return result;
  };
}

/** The node's fields by name. app: ComfyUI's. */
export function fieldsOf(node, app) {
  const widget = (name) => node.widgets.find((w) => w.name === name);
  return {
    get: (name) => widget(name)?.value,
    set: (name, value) => {
      const target = widget(name);
      if (!target || target.value === value) return;
      target.value = value;
      target.callback?.(value);
      node.graph?.setDirtyCanvas(true, true);
    },
    // the page takes a step for undo where a change begins and ends
    settled: () => {
      app.canvas?.emitBeforeChange?.();
      app.canvas?.emitAfterChange?.();
    },
    locked: (name) => isConnected(node, node.inputs?.findIndex((input) => input.name === name) ?? -1),
  };
}

/** In Nodes 2.0 of older pages (1.39, ComfyUI 0.16) a widget that was closed by undo stays in its node, empty: the new one,
 *  whose element this is, takes its place. */
export function settle(node, element) {
  if (!element || element.isConnected) return;
  document.querySelector(`[data-node-id="${node.id}"] .${element.classList[0]}:empty`)?.replaceWith(element);
}

/** Loads a style sheet; `address` as new URL(…, import.meta.url) gives it. */
export function addStyle(address) {
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = address.href;
  document.head.append(style);
}

/** The page's outputs of one node, or undefined. outputs: app.nodeOutputs, by locator. */
export function outputOf(node, outputs, app) {
  const nested = node.graph && node.graph !== (app.rootGraph ?? app.graph);
  return outputs[nested ? `${node.graph.id}:${node.id}` : String(node.id)];
}
