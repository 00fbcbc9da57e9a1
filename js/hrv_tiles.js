// Attention Heatmap, What Each Word Did and What a Model Change Did in ComfyUI's page: a tile for each word, in the node.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { addStyle } from "./page/node.js";
import { panels, pictureAddress } from "./page/panel.js";
import { TilesView } from "./tiles/view.js";

const LEAST_HEIGHT = 200;

addStyle(new URL("./tiles/tiles.css", import.meta.url));

app.registerExtension({
  name: "HRV.Tiles",
  ...panels(app, {
    types: ["HRVHeatmap", "HRVWordEffect", "HRVModelEffect"],
    name: "hrv_tiles",
    key: "hrv_tiles",
    least: LEAST_HEIGHT,
    create: () => new TilesView((image) => pictureAddress(api, image)),
  }),
});
