"""Heatmaps as tiles in ComfyUI's page: legible, the strongest first, large by a click."""

import pytest
from editor import example

HEATMAP = "HRVHeatmap"
SHOWN = """() => [...document.querySelectorAll('.hrv-tile')].map((tile) => ({
    word: tile.querySelector('.hrv-tile-word').textContent,
    note: tile.querySelector('.hrv-tile-note').textContent,
    letters: parseFloat(getComputedStyle(tile.querySelector('.hrv-tile-word')).fontSize),
    zoom: tile.getBoundingClientRect().width / tile.offsetWidth,
    width: tile.getBoundingClientRect().width,
    loaded: tile.querySelector('img').complete && tile.querySelector('img').naturalWidth > 0,
    frame: tile.querySelector('.hrv-tile-image').offsetWidth / tile.querySelector('.hrv-tile-image').offsetHeight,
}))"""


def shown(editor) -> list[dict]:
    editor.page.wait_for_timeout(500)
    return editor.page.evaluate(SHOWN)


def tags(count: int) -> dict:
    workflow = example("which_word_drew_what", steps=1)
    prompt = next(n for n in workflow["nodes"] if n["type"] == "CLIPTextEncode" and n["widgets_values"][0])
    colours = ["red", "blue", "green", "yellow"]
    kinds = ["star", "fish", "cat", "house", "tree", "car"]
    prompt["widgets_values"][0] = ", ".join([f"{a} {b}" for b in kinds for a in colours][:count])
    return workflow


def test_words_are_legible_and_the_strongest_come_first(editor):
    editor.load(example("which_word_drew_what", steps=8))
    ran = editor.run()
    assert ran["status"]["status_str"] == "success"
    editor.page.wait_for_selector(".hrv-tile")
    for zoom in (1.0, 0.7):
        editor.centre(HEATMAP, zoom)
        tiles = shown(editor)
        assert {tile["word"] for tile in tiles} == {"red", "star", "blue", "fish", "sand"}
        for tile in tiles:
            assert tile["zoom"] == pytest.approx(zoom, rel=0.02)
            assert tile["letters"] * tile["zoom"] >= 11 and tile["loaded"]
            assert tile["width"] >= 100 * zoom and tile["frame"] == pytest.approx(1, abs=0.03), (
                "the image without its strip"
            )
    shares = [float(tile["note"].split()[0]) for tile in tiles]
    assert shares == sorted(shares, reverse=True) and shares[0] > 2 * shares[-1]
    node = editor.nodes(f"nodes.find((n) => n.type === '{HEATMAP}').id")
    inside = editor.page.locator(f"[data-node-id='{node}'] img").count() if editor.nodes2 else len(tiles)
    assert inside == len(tiles), "the page's own preview does not show the same images once more"

    editor.centre(HEATMAP)
    editor.page.locator(".hrv-tile").first.click()
    large = editor.page.locator(".hrv-tiles-large > img")
    assert large.bounding_box()["width"] > 1.5 * tiles[0]["width"]
    assert editor.page.locator(".hrv-tiles-large .hrv-tile-word").inner_text() == tiles[0]["word"]
    editor.page.get_by_role("button", name="The next weaker word").click()
    assert editor.page.locator(".hrv-tiles-large .hrv-tile-word").inner_text() == tiles[1]["word"]
    large.click()
    assert [tile["word"] for tile in shown(editor)] == [tile["word"] for tile in tiles]


@pytest.mark.one_page
def test_of_many_words_the_strongest_are_shown_first(editor):
    editor.load(tags(16))
    assert editor.run()["status"]["status_str"] == "success"
    editor.page.wait_for_selector(".hrv-tile")
    editor.centre(HEATMAP)
    assert len(first := shown(editor)) == 6
    editor.page.get_by_role("button", name="Show all 16").click()
    assert len(every := shown(editor)) == 16
    assert [(one["word"], one["note"]) for one in every[:6]] == [(one["word"], one["note"]) for one in first]
    editor.page.get_by_role("button", name="Show the strongest 6").click()
    assert len(shown(editor)) == 6


@pytest.mark.one_page
def test_images_of_a_batch_are_turned(editor):
    workflow = example("which_word_drew_what", steps=1)
    next(n for n in workflow["nodes"] if n["type"] == "EmptyLatentImage")["widgets_values"][2] = 2
    editor.load(workflow)
    assert editor.run()["status"]["status_str"] == "success"
    editor.page.wait_for_selector(".hrv-tile")
    editor.centre(HEATMAP)
    sources = "() => [...document.querySelectorAll('.hrv-tile img')].map((i) => i.src)"
    first = editor.page.evaluate(sources)
    editor.page.get_by_role("button", name="Next image").click()
    second = editor.page.evaluate(sources)
    assert len(first) == len(second) == 5 and not set(first) & set(second)
    assert "2 / 2" in editor.page.locator(".hrv-tiles-turn").inner_text()
