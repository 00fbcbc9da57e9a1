// Fields of the pack's nodes in ComfyUI's page: what stands in empty ones; `prompt_text`, which is rarely needed, takes one line while it is empty.

import { app } from "../../scripts/app.js";
import { say } from "./page/texts.js";

const [LINE, LINES] = [38, 90]; // pixels, margins included
const EMPTY = { prompt_text: "fields.promptText", also_look_for: "fields.alsoLookFor" };

app.registerExtension({
  name: "HRV.Fields",

  nodeCreated(node) {
    if (!/^HRV/.test(node.comfyClass ?? "")) return;
    for (const field of node.widgets ?? []) {
      if (!Object.hasOwn(EMPTY, field.name)) continue;
      const placeholder = say(EMPTY[field.name]);
      field.options.placeholder = placeholder;
      if (field.element) field.element.placeholder = placeholder;
    }
    const field = node.widgets?.find((widget) => widget.name === "prompt_text");
    if (!field?.options) return;
    field.options.getMinHeight = () => LINE;
    field.options.getMaxHeight = () => (field.value ? LINES : LINE);
    const [width, height] = node.computeSize();
    node.setSize([Math.max(node.size[0], width), Math.max(node.size[1], height)]);
  },
});
