// An area of a node in ComfyUI's page that shows what the node's last run gave: below its fields, as high as the node has room.

import { passGestures } from "./gestures.js";
import { outputOf, settle } from "./node.js";

let made = 0;

/** Ties views to nodes. app: ComfyUI's. types: nodes that have one; key: the output that it shows; least: height in pixels;
 *  create(node): makes a view, {element, show(payload, output), close()}. Returns the hooks of an extension. */
export function panels(app, { types, name, key, least, create }) {
  const views = new Map(); // node → {view, shown}

  const show = (node, output) => {
    const one = views.get(node);
    const payload = output?.[key]?.[0];
    if (!one || payload?.version !== 1 || payload === one.shown) return;
    one.shown = payload;
    one.view.show(payload, output);
  };
  // what the page remembers of an earlier run, after undo, or when a tab comes back
  const recall = (outputs = app.nodeOutputs ?? {}) => {
    for (const node of views.keys()) show(node, outputOf(node, outputs, app));
  };

  return {
    nodeCreated(node) {
      if (!types.includes(node.comfyClass)) return;
      const view = create(node);
      views.set(node, { view });
      passGestures(view.element, app);
      // the panel shows the images, larger than ComfyUI's own preview would
      node.hideOutputImages = true;
      node.onDrawBackground = () => {};
      // a type of its own, so that Nodes 2.0 mounts it anew after undo (see hrv_lens.js)
      const widget = node.addDOMWidget(name, `${name}_${++made}`, view.element, {
        serialize: false,
        hideOnZoom: false,
        getMinHeight: () => least,
        getValue: () => "",
        setValue: () => {},
      });
      widget.serialize = false;
      const { onExecuted, onRemoved } = node;
      node.onExecuted = function (output) {
        onExecuted?.apply(this, arguments);
        show(node, output);
      };
      node.onRemoved = function () {
        onRemoved?.apply(this, arguments);
        view.close();
        views.delete(node);
      };
      const [width, height] = node.computeSize();
      node.setSize([Math.max(node.size[0], width), Math.max(node.size[1], height)]);
    },

    loadedGraphNode(node) {
      if (!views.has(node)) return;
      setTimeout(recall, 0);
      setTimeout(() => settle(node, views.get(node)?.view.element), 300); // when the page has drawn its nodes
    },

    onNodeOutputsUpdated: recall,
  };
}

/** Where the page gets an image of a run. api: ComfyUI's. */
export const pictureAddress = (api, { filename, subfolder, type }) => api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);
