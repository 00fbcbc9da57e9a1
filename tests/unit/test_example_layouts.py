"""Every example fits a screen of 1920 × 1080 at 70 %, and no node lies on another."""

import itertools
import json

import pytest

from devtools.setup import ROOT

EXAMPLES = sorted((ROOT / "example_workflows").glob("*.json"))
TITLE, MARGIN = 30, 20  # pixels of the graph
SCREEN = (1920, 1000)  # without the page's tabs


def boxes(path) -> list[tuple[str, float, float, float, float]]:
    nodes = json.loads(path.read_text("utf-8"))["nodes"]
    return [
        (n.get("title", n["type"]), n["pos"][0], n["pos"][1] - TITLE, n["pos"][0] + n["size"][0], n["pos"][1] + n["size"][1])
        for n in nodes
    ]  # fmt: skip


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_fits_a_screen(path):
    found = boxes(path)
    width = max(box[3] for box in found) - min(box[1] for box in found) + 2 * MARGIN
    height = max(box[4] for box in found) - min(box[2] for box in found) + 2 * MARGIN
    assert min(SCREEN[0] / width, SCREEN[1] / height) >= 0.7, (width, height)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_no_node_lies_on_another(path):
    for one, other in itertools.combinations(boxes(path), 2):
        apart = one[3] <= other[1] or other[3] <= one[1] or one[4] <= other[2] or other[4] <= one[2]
        assert apart, (one[0], other[0])
