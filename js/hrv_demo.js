// Load Demo Checkpoint in ComfyUI's page: the words that the model knows, in the node.

import { app } from "../../scripts/app.js";
import { make } from "./lens/dom.js";
import { passGestures } from "./page/gestures.js";
import { addStyle } from "./page/node.js";
import { say } from "./page/texts.js";
import { DEMO_WORDS } from "./words/demo.js";

const HEIGHT = 138;

addStyle(new URL("./words/words.css", import.meta.url));

let made = 0;

app.registerExtension({
  name: "HRV.Demo",

  nodeCreated(node) {
    if (node.comfyClass !== "HRVDemoCheckpoint") return;
    const lines = Object.entries(DEMO_WORDS).map(([kind, words]) => make("p", {}, make("strong", {}, `${say(`demo.${kind}`)}: `), words));
    const element = make("div", { class: "hrv-demo", title: say("demo.hint"), "data-capture-wheel": "true", onpointerdown: (event) => event.button === 0 && event.stopPropagation() }, ...lines);
    passGestures(element, app);
    // a type of its own, so that Nodes 2.0 mounts it anew after undo (see hrv_lens.js)
    const widget = node.addDOMWidget("demo_words", `hrv_demo_${++made}`, element, {
      serialize: false, hideOnZoom: false, margin: 6, getMinHeight: () => HEIGHT, getMaxHeight: () => HEIGHT, getValue: () => "", setValue: () => {},
    });
    widget.serialize = false;
    const [width, height] = node.computeSize();
    node.setSize([Math.max(node.size[0], width, 300), Math.max(node.size[1], height)]);
  },
});
