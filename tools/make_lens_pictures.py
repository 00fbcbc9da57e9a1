"""Makes the pictures of the lens and of word picking in README and the help pages, from ComfyUI's own page.

    python tools/make_lens_pictures.py

Writes docs/lens.jpg and js/docs/{lens_word,lens_point,heatmap_words}.jpg. Run it as tools/make_previews.py.
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
from tools.make_previews import CHROMIUM, FIT, FLAGS, MARGIN, SETTINGS, open_page, run_graph  # noqa: E402

HELP = ROOT / "js" / "docs"
LARGEST = {"docs": 300_000, "js/docs": 150_000}  # bytes
TOOLBAR = 90  # of the page, above the nodes
LENS, HEATMAP = "08_look_into_the_picture", "03_mask_a_word_and_repaint_it"
BOX = """type => {
    const { ds, graph } = window.app.canvas;
    const node = graph._nodes.find((n) => n.type === type);
    const [x, y] = [node.pos[0] + ds.offset[0], node.pos[1] - 30 + ds.offset[1]].map((v) => v * ds.scale);
    return [x, y, node.size[0] * ds.scale, (node.size[1] + 30) * ds.scale];
}"""


def example(name: str) -> dict:
    return json.loads((ROOT / "example_workflows" / f"{name}.json").read_text(encoding="utf-8"))


def show(page: Page, server: ComfyServer, workflow: dict, only: tuple[str, ...] = ()) -> None:
    """The graph after a run, these nodes (all without a name) filling the page."""
    page.evaluate("workflow => window.app.loadGraphData(workflow)", workflow)
    page.wait_for_timeout(1500)
    run_graph(page, server)
    page.evaluate(FIT, [MARGIN, TOOLBAR, list(only)])
    page.wait_for_timeout(1500)


def save(page: Page, path: Path, node_type: str | None = None, width: int = 1600) -> None:
    """A picture of the page or of one node, made smaller until the file has its size."""
    clip = None
    if node_type:
        x, y, w, h = page.evaluate(BOX, node_type)
        clip = {"x": max(x - 12, 0), "y": max(y - 12, 0), "width": w + 24, "height": h + 24}
    picture = Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")
    if picture.width > width:
        picture = picture.resize(
            (width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS
        )
    limit = LARGEST[path.parent.relative_to(ROOT).as_posix()]
    for quality in (88, 82, 75, 65):
        picture.save(path, quality=quality, optimize=True)
        if path.stat().st_size <= limit:
            break
    print(f"{path.relative_to(ROOT)}: {picture.width}×{picture.height}, {path.stat().st_size // 1000} kB")


def move_over_picture(page: Page, x: float, y: float) -> None:
    box = page.locator(".hrv-canvas").bounding_box()
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.wait_for_timeout(600)


def main() -> None:
    host = Path(os.environ.get("HRV_COMFYUI") or ROOT / ".host" / f"comfyui-{DEFAULT}")
    with ComfyServer(host) as server, sync_playwright() as driver:
        server.post("/settings", {**SETTINGS, "Comfy.VueNodes.Enabled": True})
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1720, "height": 1130})
        open_page(page, server)
        show(page, server, example(LENS), ("HRVLens", "KSampler", "VAEDecode", "SaveImage", "MaskPreview"))
        page.locator(".hrv-chip").filter(has_text="star").first.hover()
        page.wait_for_timeout(600)
        save(page, ROOT / "docs" / "lens.jpg")
        save(page, HELP / "lens_word.jpg", "HRVLens", 560)
        move_over_picture(page, 0.3, 0.6)
        save(page, HELP / "lens_point.jpg", "HRVLens", 560)
        show(page, server, example(HEATMAP), ("HRVHeatmap",))
        save(page, HELP / "heatmap_words.jpg", "HRVHeatmap", 560)
        browser.close()


if __name__ == "__main__":
    main()
