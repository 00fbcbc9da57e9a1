"""The pack's subgraph blueprints in ComfyUI's page: found by its search, dropped, connected and run."""

import pytest
from editor import Editor, example
from graphs import OPEN_SUBGRAPH, OUTSIDE

PROMPT = "a red star and a blue fish on sand"
SHOW_DIALOGS = """() => document.querySelectorAll("style").forEach((s) => s.textContent.startsWith(".p-dialog-mask") && s.remove())"""
# the blueprint in the place of the example's sampler: [its fields, {a node to add: {its input: an output}}]
CONNECT = """([fields, shown]) => {
    const graph = window.app.graph;
    const dropped = graph._nodes.find((n) => n.subgraph);
    const loader = graph._nodes.find((n) => n.type === "HRVDemoCheckpoint");
    const empty = graph._nodes.find((n) => n.type === "EmptyLatentImage");
    const input = (node, name) => node.inputs.findIndex((i) => i.name === name);
    loader.connect(0, dropped, input(dropped, "model"));
    loader.connect(1, dropped, input(dropped, "clip"));
    loader.connect(2, dropped, input(dropped, "vae"));
    empty.connect(0, dropped, input(dropped, "latent_image"));
    for (const [name, value] of Object.entries(fields)) dropped.widgets.find((w) => w.name === name).value = value;
    for (const [type, links] of Object.entries(shown)) {
        const node = window.LiteGraph.createNode(type);
        graph.add(node);
        for (const [to, output] of Object.entries(links)) {
            dropped.connect(dropped.outputs.findIndex((o) => o.name === output), node, input(node, to));
        }
    }
}"""


def drop(editor: Editor, name: str) -> dict:
    """Finds the blueprint as an artist does, among a loader and an empty latent; what the page shows of it."""
    graph = example("which_word_drew_what")
    kept = [n for n in graph["nodes"] if n["type"] in ("HRVDemoCheckpoint", "EmptyLatentImage")]
    for node in kept:
        node["outputs"] = [{**output, "links": []} for output in node["outputs"]]
    editor.load({**graph, "nodes": kept, "links": [], "extra": {}})
    page = editor.page
    page.evaluate(SHOW_DIALOGS)
    page.mouse.dblclick(1150, 300)
    page.wait_for_timeout(800)
    page.keyboard.type(name)
    page.get_by_text("Subgraph Blueprints / HRV").first.wait_for()
    page.keyboard.press("Enter")
    page.wait_for_timeout(1200)
    page.mouse.click(1150, 300)
    page.keyboard.press("Escape")
    page.wait_for_function("() => window.app.graph._nodes.some((n) => n.subgraph)", timeout=20_000)
    return page.evaluate(
        """() => {
            const { title, widgets, outputs } = window.app.graph._nodes.find((n) => n.subgraph);
            return { title, fields: widgets.map((w) => w.name), outputs: outputs.map((o) => o.name) };
        }"""
    )


SAMPLING = {"prompt": PROMPT, "steps": 4, "cfg": 4.5, "seed": 7}


VERSION = "() => window.__COMFYUI_FRONTEND_VERSION__.split('.').map(Number)"
REMOVE_INNER = """() => {
    const { subgraph } = window.app.graph._nodes.find((n) => n.subgraph);
    subgraph.remove(subgraph._nodes.find((n) => n.type === "HRVLens"));
}"""
COPY = "window.app.graph._nodes.find((n) => n.subgraph).clone();"
VIEWS = "document.querySelectorAll('.hrv-lens').length"
LENS_OUTSIDE = (
    "() => window.app.graph._nodes.find((n) => n.subgraph).widgets.find((w) => w.name === 'lens').element"
)


def test_x_ray_my_prompt(editor):
    dropped = drop(editor, "X-ray my prompt")
    assert dropped["title"] == "X-ray my prompt"
    shows_lens = editor.page.evaluate(VERSION) >= [
        1,
        49,
    ]  # where a subgraph's node keeps a widget that is not promoted
    assert ("lens" in dropped["fields"]) == shows_lens
    assert {"prompt", "negative", "seed", "steps", "cfg", "sampler_name", "scheduler"} <= set(
        dropped["fields"]
    )
    shown = {
        "SaveImage": {"images": "image"},
        "PreviewImage": {"images": "heatmaps"},
        "PreviewAny": {"source": "report"},
        "HRVLens": {"attention": "attention", "latent": "latent", "image": "image"},
    }
    editor.page.evaluate(CONNECT, [SAMPLING, shown])
    entry = editor.run()
    assert entry["status"]["status_str"] == "success", entry["status"]
    outputs = entry["outputs"]
    lenses = [number for number, output in outputs.items() if "hrv_lens" in output]
    assert len(lenses) == 2, "one inside, one connected outside"
    assert any("Prompt report" in text for output in outputs.values() for text in output.get("text", ()))
    if shows_lens:
        point_outside(editor)
    else:
        editor.page.evaluate(OPEN_SUBGRAPH)
        editor.page.wait_for_timeout(500)
        editor.centre("HRVLens")
        editor.page.locator(".hrv-chip:visible").filter(has_text="fish").first.click()
        editor.page.wait_for_timeout(300)
        editor.page.evaluate(OUTSIDE)
    entry = editor.run()
    lenses = {n: node for n, node in entry["prompt"][2].items() if node["class_type"] == "HRVLens"}
    pinned = {":" in number: node["inputs"]["words"] for number, node in lenses.items()}
    assert pinned == {True: "fish", False: ""}, "what is pinned makes the mask outside"
    if shows_lens:
        saved_and_opened(editor)


def point_outside(editor: Editor) -> None:
    """Points at a word in the lens on the subgraph's node, and pins it."""
    editor.centre(editor.nodes("nodes.find((n) => n.subgraph).type"), 0.7)
    lens = editor.page.evaluate_handle(LENS_OUTSIDE).as_element()
    assert lens.is_visible()
    box = lens.query_selector(".hrv-canvas").bounding_box()
    assert min(box["width"], box["height"]) > 100
    before = lens.query_selector(".hrv-canvas").screenshot()
    (fish,) = (chip for chip in lens.query_selector_all(".hrv-chip") if "fish" in chip.text_content())
    fish.hover()
    editor.page.wait_for_timeout(500)
    assert "fish" in lens.query_selector(".hrv-status").text_content()
    assert lens.query_selector(".hrv-canvas").screenshot() != before, "its heatmap appears"
    fish.click()
    editor.page.wait_for_timeout(300)
    editor.page.mouse.move(5, 500)


def saved_and_opened(editor: Editor) -> None:
    """The lens is outside in the saved workflow too, as high as it was; it is not in what is only copied, and goes with the one inside."""
    size = "nodes.find((n) => n.subgraph).size.map(Math.round)"
    before = editor.nodes(size)
    editor.load(editor.saved())
    assert editor.nodes(size) == before
    editor.centre(editor.nodes("nodes.find((n) => n.subgraph).type"), 0.7)
    assert editor.page.evaluate_handle(LENS_OUTSIDE).as_element().is_visible()
    views = editor.page.evaluate(f"() => {{ {COPY} return {VIEWS}; }}")
    editor.page.wait_for_timeout(500)
    assert editor.page.evaluate(f"() => {VIEWS}") == views
    editor.page.evaluate(REMOVE_INNER)
    assert "lens" not in editor.nodes("nodes.find((n) => n.subgraph).widgets.map((w) => w.name)")


@pytest.mark.one_page
def test_mask_a_word(editor):
    dropped = drop(editor, "Mask a word")
    assert dropped["outputs"] == ["image", "mask", "overlay", "latent"]
    editor.page.evaluate(CONNECT, [{**SAMPLING, "word": "fish"}, {"MaskPreview": {"mask": "mask"}}])
    entry = editor.run()
    assert entry["status"]["status_str"] == "success", entry["status"]
    assert sum(len(output.get("images", ())) for output in entry["outputs"].values()) >= 1
