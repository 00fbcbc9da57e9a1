// Fields of the pack's nodes in ComfyUI's page: `prompt_text`, which is rarely needed, takes one line while it is empty.

import { app } from "../../scripts/app.js";

const [LINE, LINES] = [38, 90]; // pixels, margins included

app.registerExtension({
  name: "HRV.Fields",

  nodeCreated(node) {
    if (!/^HRV/.test(node.comfyClass ?? "")) return;
    const field = node.widgets?.find((widget) => widget.name === "prompt_text");
    if (!field?.options) return;
    field.options.getMinHeight = () => LINE;
    field.options.getMaxHeight = () => (field.value ? LINES : LINE);
    const [width, height] = node.computeSize();
    node.setSize([Math.max(node.size[0], width), Math.max(node.size[1], height)]);
  },
});
