"""Makes example_workflows/*.jpg: each example graph as ComfyUI's own page shows it after a run.

    python tools/make_previews.py [NAME …]

Run it with the Python of a host that dev.py made, after `pip install playwright` there; Chromium must be
installed (CHROMIUM names it if it is not /usr/bin/chromium). Graphs whose checkpoint is not there are shown
without a run.
"""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))

from devtools.releases import DEFAULT  # noqa: E402
from devtools.server import ComfyServer  # noqa: E402

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
]
MARGIN = 40
SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
    "LiteGraph.Canvas.MinFontSizeForLOD": 0,  # text stays, however small the graph
    "Comfy.Workflow.ShowMissingModelsWarning": False,  # large checkpoints are not there
    "Comfy.RightSidePanel.ShowErrorsTab": False,
}
TABS = 40  # pixels that the page's tabs cover at the top
FIT = """([margin, tabs, types]) => {
    // nodes of these types (none: all), as large as they are now, with what a run shows in them
    const nodes = window.app.graph.nodes.filter((n) => !types.length || types.includes(n.type));
    const left = Math.min(...nodes.map((n) => n.pos[0])) - margin;
    const top = Math.min(...nodes.map((n) => n.pos[1] - 30)) - margin;
    const width = Math.max(...nodes.map((n) => n.pos[0] + n.size[0])) + margin - left;
    const height = Math.max(...nodes.map((n) => n.pos[1] + n.size[1])) + margin - top;
    const [w, h] = [window.innerWidth, window.innerHeight - tabs];
    const scale = Math.min(w / width, h / height, 1);
    const canvas = window.app.canvas;
    canvas.ds.scale = scale;
    canvas.ds.offset = [(w / scale - width) / 2 - left, (h / scale - height) / 2 + tabs / scale - top];
    canvas.setDirty(true, true);
}"""


def run_graph(page: Page, server: ComfyServer) -> None:
    """Queues the graph that is open and waits until the page shows what came out."""
    page.evaluate("() => window.app.queuePrompt(0)")
    page.wait_for_timeout(3000)
    while any(server.get("/queue").values()):
        page.wait_for_timeout(500)
    page.wait_for_timeout(4000)


def open_page(page: Page, server: ComfyServer) -> None:
    """ComfyUI's page without what covers the graph; errors of its scripts are printed."""
    page.goto(f"http://{server.address}/")
    page.wait_for_function("() => window.app && window.app.graph && window.app.canvas", timeout=120_000)
    page.wait_for_timeout(5000)
    page.add_style_tag(
        content=".p-dialog-mask, .p-toast, [class*=side-tool-bar] { display: none !important }"
    )
    page.on("console", lambda message: message.type == "error" and print("console:", message.text))


def photograph(page: Page, server: ComfyServer, path: Path, run: bool) -> Image.Image:
    """The graph in the page, run first where its models are there."""
    workflow = json.loads(path.read_text(encoding="utf-8"))
    page.evaluate("workflow => window.app.loadGraphData(workflow)", workflow)
    page.wait_for_timeout(1500)
    if run:
        run_graph(page, server)
    page.evaluate(FIT, [MARGIN, TABS, []])
    page.wait_for_timeout(1500)
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def main(names: list[str]) -> None:
    host = Path(os.environ.get("HRV_COMFYUI") or ROOT / ".host" / f"comfyui-{DEFAULT}")
    paths = [p for p in sorted((ROOT / "example_workflows").glob("*.json")) if not names or p.stem in names]
    with ComfyServer(host) as server, sync_playwright() as driver:
        server.post("/settings", SETTINGS)
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1920, "height": 1000})
        open_page(page, server)
        for path in paths:
            needs_download = any("models" in n["properties"] for n in json.loads(path.read_text())["nodes"])
            picture = photograph(page, server, path, run=not needs_download)
            picture.save(path.with_suffix(".jpg"), quality=88)
            print(f"{path.with_suffix('.jpg').name}: {picture.width}×{picture.height}")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
