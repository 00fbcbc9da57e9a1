"""The written-out layouts of SD1 and SDXL against what the HRV authors published."""

import os
from pathlib import Path

import numpy as np
import pytest

from hrv_pack.hrv.heads.known_layouts import (
    SD1,
    SDXL,
    head_index_sha256,
    head_labels,
    layout_in_words,
    name_of,
)
from hrv_pack.hrv.heads.layout import Block, Layout

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = Path(os.environ.get("HRV_PUBLISHED_VECTORS") or ROOT.parent / "shared" / "data" / "hrv_published")
# of the head_index files in SNU-DRL/HRV, folder final_result
SHA256 = {
    "sd_v1_4": "6fba813dd245797933759ecdccacd47b08afa5b56f82bee59ed7d96a87ff485e",
    "sd_xl_base_1_0": "71204c9aaa3e7dbd461a7f9fc016408963c98404973204813e82a2deff543df4",
}


@pytest.mark.parametrize(("layout", "name"), [(SD1, "sd_v1_4"), (SDXL, "sd_xl_base_1_0")])
def test_the_published_head_order_is_execution_order_to_the_last_byte(layout, name):
    assert head_index_sha256(layout) == SHA256[name]


@pytest.mark.parametrize(("layout", "name"), [(SD1, "sd_v1_4"), (SDXL, "sd_xl_base_1_0")])
def test_labels_equal_the_published_file(layout, name):
    files = list(PUBLISHED.glob(f"head_index_*{name}.npy"))
    if not files:
        pytest.skip("the published files are not here; HRV_PUBLISHED_VECTORS may name a folder with them")
    assert head_labels(layout) == np.load(files[0], allow_pickle=False).tolist()


def test_spans_of_sdxl():
    spans = {}
    for number, block in enumerate(SDXL.blocks):
        span, known = SDXL.span(number), spans.setdefault((block.part, block.index), [10**6, 0])
        spans[block.part, block.index] = [min(known[0], span.start), max(known[1], span.stop)]
    assert spans["input", 4] == [0, 20] and spans["input", 8] == [240, 440]
    assert spans["middle", 0] == [440, 640] and spans["output", 2] == [1040, 1240]
    assert spans["output", 5] == [1280, 1300]
    assert {SDXL.head(n).block.heads for n in (39, 1240)} == {10}
    assert {SDXL.head(n).block.heads for n in (40, 1239)} == {20}


def test_names():
    assert (SD1.heads, SDXL.heads) == (128, 1300)
    assert name_of(SDXL) == "SDXL"
    assert layout_in_words(SD1) == "128 heads (SD1)"
    assert layout_in_words(Layout((Block("middle", 0, 0, 68),)), unit="") == "68"
