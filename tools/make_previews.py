"""Makes pictures of ComfyUI's own page: a square of what each example graph shows after a run, and of the lens and the
words below a field for README and help pages.

    python tools/make_previews.py [NAME …]      names of example workflows, or `lens`; all without

Writes example_workflows/*.jpg, docs/{lens.jpg,lens.webp} and js/docs/{lens_word,lens_point,heatmap_words}.jpg. Run it with the Python of a host
that dev.py made, after `pip install playwright` there; Chromium must be installed (CHROMIUM names it if it is not
/usr/bin/chromium). Graphs whose checkpoint is not there are shown without a run.
"""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from urllib.parse import urlencode

from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "browser")]

from editor import FLAGS, SETTINGS, Editor  # noqa: E402

from devtools.releases import DEFAULT  # noqa: E402
from devtools.server import ComfyServer  # noqa: E402

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
EXAMPLES, HELP = ROOT / "example_workflows", ROOT / "js" / "docs"
FONT = "DejaVuSans.ttf"
SQUARE = 512  # pixels of a thumbnail
TALL = 1.4  # height by width from which an image is too tall to be shown whole
LENS_WIDTH, FRAME = 640, 900  # of the moving picture: pixels, milliseconds
HEAT, REPORT, LENS = ".hrv-tiles-list", ".hrv-report", ".hrv-stage"
# What an example's thumbnail shows: an area of the page, or titles of nodes: two images one below the other, four in a square, one alone
# as a whole.
THUMBNAILS: dict[str, str | tuple[str, ...]] = {
    "look_into_the_image": LENS,
    "which_word_drew_what": HEAT,
    "why_did_my_prompt_go_wrong": REPORT,
    "mask_a_word_and_repaint_it": ("The image", "The repainted image"),
    "which_words_can_go": HEAT,
    "strengthen_a_lost_word": ("The image", "The steered image"),
    "excite_a_missing_thing": ("The image", "The excited image"),
    "wrong_sense_adjusted": ("The image", "The steered image"),
    "change_one_word": ("The first image", "With one word changed"),
    "what_does_the_model_see": HEAT,
    "what_changed_between_two_images": ("Compare Two Recordings",),
    "what_does_this_lora_do": ("What a Model Change Did",),
    "save_attention_and_read_it_later": HEAT,
    "which_word_drew_what_transformer": ("Fish, from the heads that found it",),
    "which_mask_is_better": (
        "The image",
        "The true mask",
        "Fish, from all heads (DAAM)",
        "Fish, from the word's best heads",
    ),
    "build_vectors_for_your_checkpoint": ("Heads for objects",),
    "ordered_weakening": ("The images",),
}
# Examples whose model is not here: what their thumbnail says, and the example with the demo model that shows the same.
STAND_INS = {
    "which_word_drew_what_sdxl": ("SDXL", "which_word_drew_what", HEAT),
    "which_word_drew_what_z_image": ("Z-Image-Turbo", "which_word_drew_what", HEAT),
    "which_mouse_sdxl": ("SDXL", "wrong_sense_adjusted", ("1. Which sense was drawn?",)),
}
LARGEST = {"docs": 300_000, "js/docs": 150_000}  # bytes
MARGIN = 40
SETTINGS = {
    **SETTINGS,
    "LiteGraph.Canvas.MinFontSizeForLOD": 0,  # text stays, however small the graph
    "Comfy.RightSidePanel.ShowErrorsTab": False,
}
MUTED = 2  # a node's mode
TABS, TOOLBAR = 40, 90  # pixels that the page's tabs, and its tool bar as well, cover at the top
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
NODE_OF = """area => window.app.graph._nodes.find((n) => n.widgets?.some((w) => w.element?.matches?.(area) || w.element?.querySelector?.(area))).type"""
BOX = """type => {
    const { ds, graph } = window.app.canvas;
    const node = graph._nodes.find((n) => n.type === type);
    const [x, y] = [node.pos[0] + ds.offset[0], node.pos[1] - 30 + ds.offset[1]].map((v) => v * ds.scale);
    return [x, y, node.size[0] * ds.scale, (node.size[1] + 30) * ds.scale];
}"""


def opened(browser: Browser, server: ComfyServer, width: int, height: int, nodes2: bool) -> Editor:
    """A page of this size; errors of its scripts are printed."""
    server.post("/settings", {**SETTINGS, "Comfy.VueNodes.Enabled": nodes2})
    editor = Editor(browser.new_page(viewport={"width": width, "height": height}), server, nodes2)
    editor.open()
    editor.page.on("console", lambda message: message.type == "error" and print("console:", message.text))
    return editor


def show(editor: Editor, path: Path, covered: int, only: tuple[str, ...] = ()) -> None:
    """The graph after a run, where its models are there, and these nodes (all without a name) filling the page."""
    workflow = json.loads(path.read_text(encoding="utf-8"))
    editor.load(workflow)
    editor.page.wait_for_timeout(1500)
    if not any("models" in node["properties"] for node in workflow["nodes"]):
        editor.run(minutes=30)  # one of them builds vectors
        editor.page.wait_for_timeout(4000)
    if any(node["mode"] == MUTED for node in workflow["nodes"]):  # what is for another day
        editor.page.evaluate("() => window.app.graph._nodes.forEach((n) => (n.mode = 0))")
        editor.run(minutes=30)
        editor.page.wait_for_timeout(4000)
    editor.page.evaluate(FIT, [MARGIN, covered, list(only)])
    editor.page.wait_for_timeout(1500)


def photograph(editor: Editor, clip: dict | None = None) -> Image.Image:
    return Image.open(io.BytesIO(editor.page.screenshot(clip=clip))).convert("RGB")


def save(editor: Editor, path: Path, node_type: str | None = None, width: int = 1600) -> None:
    """A picture of the page or of one node, made smaller until the file has its size."""
    clip = None
    if node_type:
        x, y, w, h = editor.page.evaluate(BOX, node_type)
        clip = {"x": max(x - 12, 0), "y": max(y - 12, 0), "width": w + 24, "height": h + 24}
    picture = photograph(editor, clip)
    if picture.width > width:
        size = (width, round(picture.height * width / picture.width))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    limit = LARGEST[path.parent.relative_to(ROOT).as_posix()]
    for quality in (88, 82, 75, 65):
        picture.save(path, quality=quality, optimize=True)
        if path.stat().st_size <= limit:
            break
    print(f"{path.relative_to(ROOT)}: {picture.width}×{picture.height}, {path.stat().st_size // 1000} kB")


def square(image: Image.Image, height: int = SQUARE) -> Image.Image:
    """The middle of an image, SQUARE wide and this high."""
    scale = max(SQUARE / image.width, height / image.height)
    size = (max(SQUARE, round(image.width * scale)), max(height, round(image.height * scale)))
    left, top = (size[0] - SQUARE) // 2, (size[1] - height) // 2
    resized = image.resize(size, Image.Resampling.LANCZOS)
    return resized.crop((left, top, left + SQUARE, top + height))


def made(editor: Editor, titles: tuple[str, ...]) -> list[Image.Image]:
    """The first image that each of these nodes shows."""
    images = []
    for title in titles:
        image = editor.page.evaluate(
            "title => window.app.nodeOutputs[window.app.graph._nodes.find((n) => n.title === title).id].images[0]",
            title,
        )
        address = f"http://{editor.server.address}/view?{urlencode(image)}"
        data = editor.page.request.get(address).body()
        images.append(Image.open(io.BytesIO(data)).convert("RGB"))
    return images


def whole(image: Image.Image) -> Image.Image:
    """All of an image in a square, on the colour of its corner; of a tall one the upper part."""
    if image.height > TALL * image.width:
        image = image.crop((0, 0, image.width, image.width))
    scale = SQUARE / max(image.size)
    small = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    sheet = Image.new("RGB", (SQUARE, SQUARE), image.getpixel((image.width - 1, image.height - 1)))
    sheet.paste(small, ((SQUARE - small.width) // 2, (SQUARE - small.height) // 2))
    return sheet


def thumbnail(editor: Editor, what: str | tuple[str, ...]) -> Image.Image:
    """What the example shows, so that it is known again at the size of the template browser."""
    if isinstance(what, str):
        editor.page.evaluate(FIT, [10, TABS, [editor.page.evaluate(NODE_OF, what)]])
        editor.page.wait_for_timeout(1200)
        box = editor.page.locator(what).first.bounding_box()
        shot = photograph(editor, box)
        shot = shot.resize((SQUARE, round(shot.height * SQUARE / shot.width)), Image.Resampling.LANCZOS)
        sheet = Image.new("RGB", (SQUARE, SQUARE), shot.getpixel((shot.width - 1, shot.height - 1)))
        sheet.paste(shot, (0, max(0, (SQUARE - shot.height) // 2)))
        return sheet
    images = made(editor, what)
    if len(images) == 1:
        return whole(images[0])
    sheet, gap = Image.new("RGB", (SQUARE, SQUARE)), 4
    columns = len(images) // 2
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        one = square(image, SQUARE // 2) if columns == 1 else square(image).resize((SQUARE // 2, SQUARE // 2))
        sheet.paste(one, (column * (SQUARE // 2 + gap // 2), row * (SQUARE // 2 + gap // 2)))
    return sheet


def with_title(image: Image.Image, title: str) -> Image.Image:
    """The thumbnail of an example that cannot be run here: the model's name above what the demo model made."""
    sheet, band = Image.new("RGB", (SQUARE, SQUARE), "#202020"), 110
    inner = image.resize((SQUARE - band, SQUARE - band), Image.Resampling.LANCZOS)
    sheet.paste(inner, (band // 2, band))
    pen = ImageDraw.Draw(sheet)
    pen.text((SQUARE // 2, 14), title, font=ImageFont.truetype(FONT, 52), fill="#ffffff", anchor="mt")
    pen.text(
        (SQUARE // 2, 78),
        "shown with the demo model",
        font=ImageFont.truetype(FONT, 20),
        fill="#bbbbbb",
        anchor="mt",
    )
    return sheet


def moving(editor: Editor, path: Path) -> None:
    """The lens as a moving picture: a pointer over words, a pin, the pointer over the image."""
    frames = []

    def take(times: int = 1) -> None:
        editor.page.wait_for_timeout(500)
        shot = photograph(editor, editor.page.locator(".hrv-lens").bounding_box())
        frames.extend(
            [
                shot.resize(
                    (LENS_WIDTH, round(shot.height * LENS_WIDTH / shot.width)), Image.Resampling.LANCZOS
                )
            ]
            * times
        )

    editor.page.get_by_role("button", name="Unpin all").click()
    for word in ("star", "red", "fish"):
        editor.chip(word).hover()
        take()
    editor.chip("fish").click()
    take(2)
    box = editor.page.locator(".hrv-canvas").bounding_box()
    for x, y in ((0.3, 0.55), (0.5, 0.3), (0.75, 0.55), (0.7, 0.75)):
        editor.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        take()
    editor.chip("fish").click()
    first, *rest = frames
    first.save(path, save_all=True, append_images=rest, duration=FRAME, loop=0, quality=80, method=4)
    print(f"{path.name}: {len(frames)} frames, {path.stat().st_size // 1000} kB")


def lens(editor: Editor) -> None:
    nodes = ("HRVLens", "KSampler", "VAEDecode", "SaveImage", "MaskPreview")
    show(editor, EXAMPLES / "01_look_into_the_image.json", TOOLBAR, nodes)
    editor.chip("star").hover()
    editor.page.wait_for_timeout(600)
    save(editor, ROOT / "docs" / "lens.jpg")
    save(editor, HELP / "lens_word.jpg", "HRVLens", 560)
    editor.page.evaluate(FIT, [MARGIN, TABS, ["HRVLens"]])
    editor.page.wait_for_timeout(1000)
    moving(editor, ROOT / "docs" / "lens.webp")
    box = editor.page.locator(".hrv-canvas").bounding_box()
    editor.page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.6 * box["height"])
    editor.page.wait_for_timeout(600)
    save(editor, HELP / "lens_point.jpg", "HRVLens", 560)
    show(editor, EXAMPLES / "04_mask_a_word_and_repaint_it.json", TOOLBAR, ("HRVHeatmap",))
    save(editor, HELP / "heatmap_words.jpg", "HRVHeatmap", 560)


def job_of(path: Path) -> str:
    """An example's name without its number."""
    return path.stem[len("01_") :]


def main(names: list[str]) -> None:
    host = Path(os.environ.get("HRV_COMFYUI") or ROOT / ".host" / f"comfyui-{DEFAULT}")
    paths = [path for path in sorted(EXAMPLES.glob("*.json")) if not names or path.stem in names]
    with ComfyServer(host) as server, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        editor = opened(browser, server, 1920, 1000, nodes2=False)
        for path in paths:
            job = job_of(path)
            title, shown, what = STAND_INS.get(job) or ("", job, THUMBNAILS[job])
            (graph,) = (one for one in EXAMPLES.glob("*.json") if job_of(one) == shown)
            show(editor, graph, TABS)
            picture = thumbnail(editor, what)
            picture = with_title(picture, title) if title else picture
            picture.save(path.with_suffix(".jpg"), quality=88)
            print(f"{path.stem}.jpg: {picture.width}×{picture.height}", flush=True)
        if not names or "lens" in names:
            lens(opened(browser, server, 1720, 1130, nodes2=True))
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
