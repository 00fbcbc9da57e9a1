"""Attention Lens where it is used: with batches and vectors, inside a subgraph, with long prompts, at any size."""

import uuid

import pytest
from editor import example
from graphs import OPEN_SUBGRAPH, OUTSIDE, TO_SUBGRAPH

LENS = "HRVLens"
VECTORS = {
    "id": 100, "type": "HRVLoadVectors", "pos": [1130, 900], "size": [300, 90], "flags": {}, "order": 0, "mode": 0,
    "inputs": [], "outputs": [{"name": "vectors", "type": "HRV_VECTORS", "links": [100]},
                              {"name": "summary", "type": "STRING", "links": []}],
    "properties": {}, "widgets_values": ["demo_checkpoint.safetensors"],
}  # fmt: skip


def widgets(workflow: dict, node_type: str) -> list:
    (node,) = [n for n in workflow["nodes"] if n["type"] == node_type]
    return node["widgets_values"]


def open_lens(editor, workflow: dict) -> None:
    """The page after the graph has run, the lens in its middle."""
    editor.load(workflow)
    assert editor.run()["status"]["status_str"] == "success"
    editor.until("lens.frames")
    editor.centre(LENS)


@pytest.mark.one_page
def test_the_pictures_of_a_batch_and_the_heads_of_a_concept(editor):
    workflow = example("look_into_the_image")
    widgets(workflow, "EmptyLatentImage")[2] = 2
    workflow["nodes"].append(VECTORS)
    lens_node = next(n for n in workflow["nodes"] if n["type"] == LENS)
    slot = next(i for i, s in enumerate(lens_node["inputs"]) if s["name"] == "vectors")
    lens_node["inputs"][slot]["link"] = 100
    workflow["links"].append([100, 100, 0, lens_node["id"], slot, "HRV_VECTORS"])
    open_lens(editor, workflow)
    lens, page = editor.lens, editor.page
    first = lens("Array.from(lens.set.words[6].map)")
    page.get_by_role("button", name="Next image").click()
    assert lens("lens.controls.number.textContent") == "2 / 2"
    assert lens("Array.from(lens.set.words[6].map)") != first
    editor.until("lens.stage.picture")
    page.get_by_role("button", name="Next image").click()
    assert lens("lens.controls.number.textContent") == "1 / 2"
    assert lens("Array.from(lens.set.words[6].map)") == first

    with page.expect_response("**/hrv/lens/maps") as answer:
        page.get_by_role("combobox", name="Heads").select_option("Objects")
    assert answer.value.ok
    editor.until("lens.set.complete")
    assert "Objects, most relevant 23 %" in lens("lens.set.source")
    chosen = lens("Array.from(lens.set.words[6].map)")
    assert chosen != first
    with page.expect_response("**/hrv/lens/maps"):
        page.get_by_role("slider", name="Share of heads").fill("60")
    editor.until("lens.set.complete")
    assert (editor.widget(LENS, "concept"), editor.widget(LENS, "percent")) == ("Objects", 60)
    assert lens("Array.from(lens.set.words[6].map)") not in (first, chosen)

    asked = []
    page.on("request", lambda request: "/hrv/" in request.url and asked.append(request.url))
    for name in ("red", "star", "fish"):
        editor.chip(name).hover()
    page.get_by_label("Threshold").fill("0.6")
    page.wait_for_timeout(300)
    assert not asked, "pointing and thresholds need no server"


def test_inside_a_subgraph(editor):
    editor.load(example("look_into_the_image"))
    editor.page.evaluate(TO_SUBGRAPH, [LENS])
    editor.page.evaluate(OPEN_SUBGRAPH)
    editor.page.wait_for_timeout(500)
    assert editor.run()["status"]["status_str"] == "success"
    editor.until("lens.frames")
    editor.centre(LENS)
    editor.chip("fish").hover()
    editor.until("lens.status.textContent.startsWith('“fish” gets up to')")
    editor.chip("fish").click()
    editor.page.wait_for_timeout(300)
    saved = editor.saved()
    (inner,) = saved["definitions"]["subgraphs"]
    assert widgets(inner, LENS)[1] == "fish"

    editor.page.evaluate(OUTSIDE)
    editor.page.wait_for_timeout(500)
    editor.page.evaluate(OPEN_SUBGRAPH)
    editor.until("lens.frames && lens.pinned[0] === 'fish'")
    assert editor.run()["status"]["status_str"] == "success"
    editor.page.evaluate(OUTSIDE)
    editor.page.wait_for_timeout(500)
    editor.load({**saved, "id": str(uuid.uuid4())})
    editor.page.evaluate(OPEN_SUBGRAPH)
    editor.page.wait_for_timeout(500)
    assert editor.widget(LENS, "words") == "fish"


@pytest.mark.one_page
def test_a_prompt_of_150_words_has_a_search_box(editor):
    workflow = example("look_into_the_image", steps=1)
    texts = [n for n in workflow["nodes"] if n["type"] == "CLIPTextEncode"]
    texts[0]["widgets_values"] = [" ".join(["a red star and a blue fish on green sand"] * 15)]
    open_lens(editor, workflow)
    page, lens = editor.page, editor.lens
    assert lens("lens.frame.names.length") == 150
    assert lens("lens.box.clientHeight") >= 100, "the picture keeps its place"
    assert lens("lens.chips.list.scrollHeight > lens.chips.list.clientHeight")
    search = page.get_by_role("searchbox", name="Search words")
    search.fill("fish")
    shown = page.locator(".hrv-chip:visible")
    assert shown.count() == 15 and all("fish" in text for text in shown.all_inner_texts())
    search.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_timeout(300)
    assert editor.widget(LENS, "words") == "fish#2"


@pytest.mark.parametrize("size", [[900, 1100], [320, 500]], ids=["large", "small"])
def test_the_lens_has_the_size_of_its_node(editor, size):
    open_lens(editor, example("look_into_the_image"))
    before = editor.lens("lens.canvas.getBoundingClientRect().width")
    editor.resize(LENS, size)
    editor.centre(LENS, 0.75)
    measured = editor.lens("(() => { const [e, s, c] = [lens.element, lens.box, lens.canvas].map((x) => x.getBoundingClientRect());"
                           " return { wide: e.width / 0.75, inside: c.left >= s.left - 1 && c.right <= s.right + 1 && c.bottom <= s.bottom + 1,"
                           " canvas: c.width / 0.75, fits: lens.element.scrollHeight <= lens.element.clientHeight + 1 }; })()")  # fmt: skip
    assert abs(measured["wide"] - size[0]) < 60 and measured["inside"] and measured["fits"], measured
    assert (measured["canvas"] > before) == (size[0] == 900), (measured, before)
