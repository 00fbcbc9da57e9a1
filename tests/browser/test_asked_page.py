"""Words that are not in the prompt, in ComfyUI's page: marked in tiles and lens, and left out of the shares at a point."""

import pytest
from editor import example

pytestmark = pytest.mark.one_page
LENS, RECORD = "HRVLens", "HRVRecordAttention"


def asking(job: str) -> dict:
    """The example, with a tree and a car looked for."""
    workflow = example(job)
    (record,) = [node for node in workflow["nodes"] if node["type"] == RECORD]
    record["widgets_values"][5:] = ["off", 0, "tree, car"]
    return workflow


def test_tiles_say_which_words_are_not_in_the_prompt(editor):
    editor.load(asking("which_word_drew_what"))
    assert editor.widget(RECORD, "also_look_for") == "tree, car"
    assert editor.run()["status"]["status_str"] == "success"
    editor.page.wait_for_selector(".hrv-tile")
    tiles = editor.page.evaluate(
        "() => [...document.querySelectorAll('.hrv-tile')].map((tile) => ({word: tile.querySelector('.hrv-tile-word').textContent, "
        "seen: tile.querySelector('.hrv-tile-word').offsetWidth, said: tile.querySelector('.hrv-tile-asked')?.textContent}))"
    )
    assert {tile["word"]: tile.get("said") for tile in tiles if tile["seen"] > 10} == {
        **dict.fromkeys(["red", "star", "blue", "fish", "sand"]),
        **dict.fromkeys(["tree", "car"], "not in the prompt"),
    }


def test_the_lens_shows_them_and_leaves_them_out_of_the_shares(editor):
    editor.load(asking("look_into_the_image"))
    assert editor.run()["status"]["status_str"] == "success"
    editor.page.wait_for_function("() => document.querySelector('.hrv-chip')", timeout=60_000)
    editor.centre(LENS)
    names = editor.lens("lens.frame.names")
    assert names[-2:] == ["tree", "car"]
    dashed = "[...document.querySelectorAll('.hrv-chip.hrv-asked .hrv-name')].map((name) => name.textContent)"
    assert editor.page.evaluate(dashed) == ["tree", "car"]
    assert "(not in the prompt)" in editor.chip("tree").get_attribute("title")
    editor.until("lens.set.complete")
    assert editor.lens("lens.set.peak") == editor.lens(
        "Math.max(...lens.set.words.slice(0, -2).map((w) => w.high))"
    )
    box = editor.page.locator(".hrv-canvas").bounding_box()
    editor.page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.6 * box["height"])
    editor.until("lens.point")
    shares = editor.lens("lens.shares(lens.point)")
    assert shares[-2:] == [0, 0] and abs(sum(shares) - 1) < 1e-6
    assert not {"tree", "car"} & set(
        editor.page.locator(".hrv-rank li:visible span:first-child").all_inner_texts()
    )
    editor.chip("tree").hover()
    editor.until("lens.scene && JSON.parse(lens.scene)[0][0] === lens.frame.names.indexOf('tree')")
    assert "“tree” gets up to" in editor.lens("lens.status.textContent")
