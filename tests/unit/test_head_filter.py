"""Narrowing and combining choices of heads, and the chart of them."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hrv_pack.hrv.heads.chart import head_chart
from hrv_pack.hrv.heads.filter import (
    all_heads,
    combine,
    filter_heads,
    heads_in_words,
    on_largest_grid,
    parse_indices,
)
from hrv_pack.hrv.heads.known_layouts import SD1, SDXL
from hrv_pack.hrv.heads.layout import Block, Layout
from hrv_pack.hrv.heads.selection import HeadSelection

LAYOUT = Layout((Block("input", 1, 0, 2), Block("middle", 0, 0, 3), Block("output", 3, 0, 2)))


def choice(*weights: float, label: str = "A") -> HeadSelection:
    return HeadSelection(LAYOUT, torch.tensor(weights, dtype=torch.float32), label)


def test_filters_keep_weights():
    heads = choice(1, 2, 3, 0, 5, 6, 7)
    assert filter_heads(heads, part="middle").weights.tolist() == [0, 0, 3, 0, 5, 0, 0]
    assert filter_heads(heads, indices="1-2, 6").weights.tolist() == [0, 2, 3, 0, 0, 0, 7]
    both = filter_heads(heads, part="output", indices="1-5")
    assert both.weights.tolist() == [0, 0, 0, 0, 0, 6, 0]
    assert both.label == "A, output, heads 1-5" and both.weights.dtype == torch.float32
    assert filter_heads(heads).weights.tolist() == heads.weights.tolist()
    balanced = HeadSelection(LAYOUT, heads.weights, "A", balanced=True)
    assert filter_heads(balanced, indices="1-2").balanced and not both.balanced


def test_combinations():
    first, second = choice(1, 1, 0, 0, 2, 0, 0), choice(0, 3, 3, 0, 3, 0, 0, label="B")
    assert combine(first, second, "shared by both").weights.tolist() == [0, 1, 0, 0, 2, 0, 0]
    assert combine(first, second, "in either").weights.tolist() == [1, 1, 3, 0, 2, 0, 0]
    assert combine(first, second, "only in the first").weights.tolist() == [1, 0, 0, 0, 0, 0, 0]
    assert combine(first, second, "in either").label == "A or B"
    assert combine(replace(first, balanced=True), second, "in either").balanced
    assert not combine(first, replace(second, balanced=True), "in either").balanced
    with pytest.raises(
        ValueError, match="chosen for a model with 128 heads; this model has 7|chosen for a model"
    ):
        combine(first, all_heads(SD1), "in either")


def test_nothing_left_is_an_error_that_says_what_there_is():
    with pytest.raises(
        ValueError, match="No heads are left .A, middle.*7 heads, in these parts: input, middle, output"
    ):
        filter_heads(choice(1, 0, 0, 0, 0, 0, 0), part="middle")
    with pytest.raises(ValueError, match="No heads are left"):
        combine(choice(1, 0, 0, 0, 0, 0, 0), choice(0, 1, 0, 0, 0, 0, 0), "shared by both")


@pytest.mark.parametrize("layout", [SD1, SDXL])
def test_largest_grid_of_known_networks(layout):
    blocks = {
        (b.part, b.index) for b, finest in zip(layout.blocks, on_largest_grid(layout), strict=True) if finest
    }
    sd1 = {("input", 1), ("input", 2), ("output", 9), ("output", 10), ("output", 11)}
    sdxl = {("input", 4), ("input", 5), ("output", 3), ("output", 4), ("output", 5)}
    assert blocks == (sd1 if layout is SD1 else sdxl)
    largest = filter_heads(all_heads(layout), grid="largest").weights
    smaller = filter_heads(all_heads(layout), grid="smaller").weights
    assert torch.equal(largest + smaller, torch.ones(layout.heads))
    assert int(largest.sum()) == (40 if layout is SD1 else 100)


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=8))
def test_indices_are_what_a_set_of_ranges_holds(ranges):
    ranges = [(min(pair), max(pair)) for pair in ranges]
    text = ", ".join(f"{a}-{b}" if a != b else f"{a}" for a, b in ranges)
    expected = {n for a, b in ranges for n in range(a, b + 1)}
    assert set(parse_indices(text, 100).nonzero().flatten().tolist()) == expected


def test_indices_spelled_freely():
    assert parse_indices(" 0 - 1;3\n", 5).tolist() == [True, True, False, True, False]
    assert parse_indices("3-", 5).tolist() == [False, False, False, True, True]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a", "“a” in indices is not a head number or a range"),
        ("1--2", "not a head number"),
        ("5", "“5” in indices is out of range: this model has heads 0 to 4"),
        ("3-1", "out of range"),
        ("9" * 5000, "not a head number"),
    ],
)
def test_bad_indices(text, fault):
    with pytest.raises(ValueError, match=fault):
        parse_indices(text, 5)


def test_describe():
    assert heads_in_words(choice(1, 0, 0, 0, 2, 0, 0)) == "2 of 7 heads, in 2 of 3 layers"


@pytest.mark.parametrize("layout", [SD1, SDXL, LAYOUT, Layout((Block("middle", 0, 0, 1),))])
def test_chart_shows_every_head_in_its_place(layout):
    relevance = torch.rand(layout.heads, generator=torch.Generator().manual_seed(0)) * 5
    weights = torch.zeros(layout.heads)
    weights[::3] = 1
    chart = head_chart(HeadSelection(layout, weights), relevance, "Animals, most relevant 23 %")
    assert chart.dtype == torch.float32 and chart.shape[-1] == 3 and 0 <= chart.min() and chart.max() <= 1
    assert chart.shape[1] <= 1300 and chart.shape[0] <= 1000
    assert not torch.equal(
        chart, head_chart(HeadSelection(layout, 1 - weights), relevance, "Animals, most relevant 23 %")
    )


def test_chart_draws_a_chosen_head_full_and_another_small():
    """Cells of the middle layer, three heads: chosen cells hold more coloured pixels."""
    from hrv_pack.hrv.heads import chart as chart_module

    layout = Layout((Block("middle", 0, 0, 2),))
    chart = head_chart(HeadSelection(layout, torch.tensor([1.0, 0.0])), torch.tensor([1.0, 1.0]), "x")
    cell = chart_module.LARGEST_CELL
    colour = torch.tensor(chart_module._colour(1.0)) / 255
    top = chart_module.MARGIN + chart_module.TITLE + 14 + 2 * (chart_module.TYPE + 8)
    column = (chart[top:, chart_module.LEFT : chart_module.LEFT + cell] - colour).abs().amax(-1) < 0.01
    full, small = column[:cell].sum(), column[cell : 2 * cell].sum()
    assert full > 0.8 * cell**2 and 0.05 * cell**2 < small < 0.3 * cell**2
