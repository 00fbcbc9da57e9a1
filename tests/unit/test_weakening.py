"""Ordered weakening: which heads, which curves, which area; and what is drawn."""

import numpy as np
import pytest
import torch

from hrv_pack.hrv.heads.known_layouts import SD1
from hrv_pack.hrv.relevance.vectors import HeadRelevance
from hrv_pack.hrv.steer.weakening import Curve, area_between, counts, curve_table, curves, sweep
from hrv_pack.hrv.steer.weakening_run import COVERED, LIKENESS, weakening

MOST, LEAST = "most relevant", "least relevant"


@pytest.fixture(scope="module")
def vectors():
    votes = torch.randint(1, 90, (2, SD1.heads), generator=torch.Generator().manual_seed(0))
    return HeadRelevance.from_votes(("Animals", "Color"), votes, SD1, {})


def test_counts_go_from_none_to_all():
    assert counts(128, 2) == [0, 128] and counts(128, 129) == list(range(129))
    assert counts(128, 7) == [0, 21, 43, 64, 85, 107, 128]
    for points in (1, 130):
        with pytest.raises(ValueError, match="between 2 and 129 for a model with 128 heads"):
            counts(128, points)


def test_heads_in_order(vectors):
    heads, numbers, orders = sweep(vectors, "color", 5, "both")
    assert numbers == [0, 32, 64, 96, 128] * 2 and orders == [MOST] * 5 + [LEAST] * 5
    relevance = vectors.of("Color")
    for choice, number, order in zip(heads, numbers, orders, strict=True):
        chosen = choice.weights > 0
        assert int(chosen.sum()) == number and set(choice.weights.tolist()) <= {0.0, 1.0}
        if 0 < number < 128:
            inside, outside = relevance[chosen], relevance[~chosen]
            assert inside.min() >= outside.max() if order == MOST else inside.max() <= outside.min()
    most, least = heads[2].weights, heads[7].weights
    assert torch.equal(most + least, torch.ones(128))  # 64 of each end
    assert heads[1].label == "Color, 32 most relevant heads"
    one_way = sweep(vectors, "Color", 5, LEAST)
    assert one_way[1:] == (numbers[5:], orders[5:])
    assert all(torch.equal(a.weights, b.weights) for a, b in zip(one_way[0], heads[5:], strict=True))


def test_area_is_the_mean_over_the_number_of_heads():
    assert Curve(MOST, (0, 10), (1.0, 0.0)).area == 0.5
    assert Curve(MOST, (0, 2, 10), (1.0, 0.0, 0.0)).area == pytest.approx(0.1)
    uneven = Curve(LEAST, (0, 3, 4, 10), (0.9, 0.7, 0.8, 0.1))
    fine = np.interp(np.linspace(0, 10, 100_001), uneven.counts, uneven.scores).mean()
    assert uneven.area == pytest.approx(fine, abs=1e-5)


def test_curves_from_pictures_in_any_sequence():
    numbers, orders = [4, 0, 2, 0, 4], [MOST, MOST, MOST, LEAST, LEAST]
    most, least = curves(numbers, orders, [0.0, 1.0, 0.25, 1.0, 0.5])
    assert most == Curve(MOST, (0, 2, 4), (1.0, 0.25, 0.0)) and least == Curve(LEAST, (0, 4), (1.0, 0.5))
    assert area_between([most, least]) == pytest.approx(0.75 - (0.625 + 0.125) / 2)
    assert area_between([most]) is None
    with pytest.raises(
        ValueError, match="at least two different numbers of heads; “least relevant” has only one"
    ):
        curves([0, 4, 4], [MOST, MOST, LEAST], [1, 1, 1])
    assert curve_table([most, least], "kept").splitlines() == [
        "| heads | kept, most relevant first | kept, least relevant first |",
        "|---|---|---|",
        "| 0 | 1.000 | 1.000 |",
        "| 2 | 0.250 |  |",
        "| 4 | 0.000 | 0.500 |",
    ]


def pictures(values):
    return [torch.full((1, 8, 12, 3), float(value)) for value in values]


def test_scores_come_from_what_is_connected():
    numbers, orders = [0, 3, 0, 3], [MOST, MOST, LEAST, LEAST]
    images = pictures([0.25, 0.75, 0.25, 0.5])
    masks = [torch.full((1, 8, 12), value) for value in (1.0, 0.0, 1.0, 0.5)]
    by_image = weakening(numbers, orders, images=images, scores=None, masks=None, title="title")
    assert f"{LIKENESS}, most relevant first" in by_image.table and "| 3 | 0.500 | 0.750 |" in by_image.table
    assert by_image.area == pytest.approx(0.125)
    by_mask = weakening(numbers, orders, images=images, scores=None, masks=masks, title="title")
    assert COVERED in by_mask.table and by_mask.area == pytest.approx(0.25)
    by_score = weakening(numbers, orders, images=None, scores=[3, 1, 3, -1], masks=masks, title="title")
    assert by_score.area == pytest.approx(-1.0)
    assert torch.equal(by_score.strip, by_score.chart)  # without pictures
    for result in (by_image, by_mask, by_score):
        assert result.chart.shape == (1, 600, 1000, 3)
        assert 0 <= result.chart.min() and result.chart.max() <= 1
    assert by_image.strip.shape[0] == 1 and by_image.strip.shape[1] > 2 * 128
    gray = by_image.strip[0, 32 + 64, 6 + 96]  # the middle of the first picture
    assert gray.tolist() == pytest.approx([0.25] * 3, abs=0.01)


def test_mistakes_are_told():
    numbers, orders, images = [0, 3], [MOST, MOST], pictures([0, 1])
    with pytest.raises(ValueError, match="nothing to draw. Connect a score, a mask, or the images"):
        weakening(numbers, orders, images=None, scores=None, masks=None, title="")
    with pytest.raises(ValueError, match="given 2 numbers of heads, but 1 entries for score"):
        weakening(numbers, orders, images=images, scores=[1.0], masks=None, title="")
    with pytest.raises(ValueError, match="2 numbers of heads, but 1 entries for image"):
        weakening(numbers, orders, images=images[:1], scores=[1.0, 0.0], masks=None, title="")
    with pytest.raises(ValueError, match="differ in size"):
        weakening(
            numbers, orders, images=[images[0], torch.zeros(1, 4, 4, 3)], scores=None, masks=None, title=""
        )


def test_both_curves_can_be_told_apart_without_colour():
    """The marks differ: filled and hollow."""
    numbers, orders = [0, 3, 0, 3], [MOST, MOST, LEAST, LEAST]
    chart = weakening(numbers, orders, images=None, scores=[1, 0.2, 1, 0.8], masks=None, title="").chart[0]
    gray = chart.mean(-1)
    at = lambda score: gray[600 - 90 - round(380 * score), 1000 - 40]  # noqa: E731
    assert at(0.2) < 0.6 and at(0.8) > 0.9
