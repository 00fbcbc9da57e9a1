"""Head order and the JSON form of a layout."""

import pytest

from hrv_pack.hrv.heads.layout import Block, Head, Layout

SDXL = Layout(
    (
        *(Block("input", 4 + i // 2, i % 2, 10) for i in range(4)),
        *(Block("input", 7 + i // 10, i % 10, 20) for i in range(20)),
        *(Block("middle", 0, i, 20) for i in range(10)),
        *(Block("output", i // 10, i % 10, 20) for i in range(30)),
        *(Block("output", 3 + i // 2, i % 2, 10) for i in range(6)),
    )
)


def test_heads_are_numbered_in_execution_order():
    parts = [
        (SDXL.head(n).block.part, SDXL.head(n).block.index)
        for n in (0, 39, 40, 439, 440, 639, 640, 1239, 1240, 1299)
    ]
    assert SDXL.heads == 1300
    assert parts == [
        ("input", 4), ("input", 5), ("input", 7), ("input", 8), ("middle", 0), ("middle", 0),
        ("output", 0), ("output", 2), ("output", 3), ("output", 5),
    ]  # fmt: skip


def test_every_number_names_one_head_and_spans_tile_the_numbers():
    layout = Layout((Block("input", 1, 0, 3), Block("middle", 0, 0, 2)))
    named = [layout.head(n) for n in range(5)]
    assert named == [Head(layout.blocks[0], i) for i in range(3)] + [
        Head(layout.blocks[1], i) for i in range(2)
    ]
    assert [n for b in range(2) for n in range(5)[layout.span(b)]] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("number", [-1, 1300])
def test_a_number_outside_names_no_head(number):
    with pytest.raises(IndexError, match="0 to 1299"):
        SDXL.head(number)


def test_json_there_and_back():
    assert Layout.from_json(SDXL.to_json()) == SDXL
    assert Layout.from_json('[["input", 1, 0, 8]]').blocks[0].key == ("input", 1, 0)


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("{}", "a list"),
        ("[]", "a list"),
        ('[["input", 1, 0]]', "must be"),
        ('[["up", 1, 0, 8]]', "must be"),
        ('[["input", 1, 0, 0]]', "out of range"),
        ('[["input", -1, 0, 8]]', "out of range"),
        ('[["input", 1.0, 0, 8]]', "out of range"),
        ('[["input", true, 0, 8]]', "out of range"),
        ('[["input", 1, 0, 1000000000]]', "out of range"),
        ('[["input", 1, 0, 90000], ["input", 2, 0, 90000]]', "180000 heads"),
    ],
)
def test_anything_else_is_refused_in_words(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        Layout.from_json(text)
