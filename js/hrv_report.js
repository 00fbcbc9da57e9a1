// Prompt Report in ComfyUI's page: what stands out, in the node, and remedies by a click.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { addStyle, fieldsOf } from "./page/node.js";
import { panels, pictureAddress } from "./page/panel.js";
import { remedied } from "./report/remedies.js";
import { ReportView } from "./report/view.js";
import { promptOf } from "./words/graph.js";

const LEAST_HEIGHT = 260;

addStyle(new URL("./report/report.css", import.meta.url));

/** Text fields of the prompt behind a node that hold what `change` can change: {fields, name, text}, the first one, or null. */
function fieldFor(node, change) {
  for (const encoder of promptOf(node, "positive", app.rootGraph ?? app.graph).encoders) {
    const fields = fieldsOf(encoder.node, app);
    for (const { name, value } of encoder.node.widgets ?? []) {
      if (typeof value !== "string" || fields.locked(name)) continue;
      const text = change(value);
      if (text !== null && text !== value) return { fields, name, text };
    }
  }
  return null;
}

/** What the report needs of its node. */
const hostOf = (node) => ({
  pictureAddress: (image) => pictureAddress(api, image),
  /** Puts a remedy into the prompt; false where it is in no field of the graph. */
  apply(remedy) {
    const found = fieldFor(node, (text) => remedied(text, remedy));
    if (!found) return false;
    found.fields.set(found.name, found.text);
    found.fields.settled();
    return true;
  },
  canApply: (remedy) => fieldFor(node, (text) => remedied(text, remedy)) !== null,
  copy: (text) => navigator.clipboard.writeText(text),
});

app.registerExtension({
  name: "HRV.Report",
  ...panels(app, {
    types: ["HRVPromptReport"],
    name: "hrv_report",
    key: "hrv_report",
    least: LEAST_HEIGHT,
    create: (node) => new ReportView(hostOf(node)),
  }),
});
