"""Scores of single heads against the plainest loops, and the choice of heads for a word."""

import math

import pytest
import torch
from prompts import prompt
from synthetic import GRIDS, LAYOUT, entry, match, plain_map

from hrv_pack.hrv.heads.layout import Block, Layout
from hrv_pack.hrv.maps.head_maps import head_maps
from hrv_pack.hrv.maps.sums_of_heads import ColumnNotRecorded
from hrv_pack.hrv.maps.word_maps import Target, word_maps
from hrv_pack.hrv.prompt import WordNotFound
from hrv_pack.hrv.recording.recording import Entry, Match, NoRecording, Run
from hrv_pack.hrv.relevance import head_scores
from hrv_pack.hrv.relevance.heads_for_word import choose_heads, compared_maps

PROMPT = prompt("a cow|boy hat and a cat")
GRID = (8, 12)
ONE = Layout((Block("input", 1, 0, 10),))


def random_maps(heads=7, height=5, width=8, seed=0):
    return torch.rand(heads, height, width, generator=torch.Generator().manual_seed(seed)) ** 4


def plain_compactness(one) -> float:
    height, width = one.shape
    low, side = float(one.min()), max(height, width)
    places = [(y, x, (float(one[y, x]) - low) ** 2) for y in range(height) for x in range(width)]
    total = sum(u for _, _, u in places)
    middle_y, middle_x = sum(y * u for y, _, u in places) / total, sum(x * u for _, x, u in places) / total
    return -sum(((y - middle_y) ** 2 + (x - middle_x) ** 2) * u for y, x, u in places) / total / side**2


def plain_agreement(one, reference) -> float:
    a, b = one.flatten().tolist(), reference.flatten().tolist()
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    together = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    return together / math.sqrt(sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b))


def plain_entropy(one) -> float:
    low = float(one.min())
    shares = [float(v) - low for v in one.flatten()]
    total = sum(shares)
    return sum(s / total * math.log(s / total) for s in shares if s > 0)


def test_scores_are_what_their_formulas_say():
    maps = random_maps()
    mean = sum(maps) / len(maps)
    for score, plain in (
        (head_scores.compactness(maps), plain_compactness),
        (head_scores.low_entropy(maps), plain_entropy),
        (head_scores.agreement(maps), lambda one: plain_agreement(one, mean)),
        (head_scores.agreement(maps, maps[2]), lambda one: plain_agreement(one, maps[2])),
        (head_scores.peak_over_mean(maps), lambda one: float(one.max() / one.mean())),
    ):
        assert score.tolist() == pytest.approx([plain(one) for one in maps], abs=1e-5)


def plain_gathering(one) -> float:
    values = sorted(one.flatten().tolist(), reverse=True)
    tenth = values[: round(0.1 * len(values))]
    return 1 - (sum(values) / len(values)) / (sum(tenth) / len(tenth))


def test_scores_and_weights_are_what_their_formulas_say():
    loudness = torch.linspace(0.1, 1.0, 10)[:, None, None]  # the weights must matter
    maps = ((0.05 + random_maps(heads=10, height=16, width=16, seed=3)) * loudness).half().float()
    gathers = [plain_gathering(one) for one in maps]
    say = [
        g**4 / math.sqrt(float(one.max()) - float(one.min())) for g, one in zip(gathers, maps, strict=True)
    ]
    reference = sum(v * one for v, one in zip(say, maps, strict=True))
    found = choose_heads([match(recorded(maps), layout=ONE)], "cat", 30.0)
    agrees = [plain_agreement(one, reference) for one in maps]
    scores = [g**4 * max(0.0, s) ** 6 for g, s in zip(gathers, agrees, strict=True)]
    assert found.score.tolist() == pytest.approx(scores, rel=1e-2)
    best = sorted(range(10), key=lambda n: -scores[n])[:3]
    weights = [v * max(0.0, s) ** 6 for v, s in zip(say, agrees, strict=True)]
    mean = sum(weights[n] for n in best) / 3
    expected = [weights[n] / mean if n in best else 0.0 for n in range(10)]
    assert found.heads.weights.tolist() == pytest.approx(expected, rel=1e-2)


def test_a_head_that_looks_elsewhere_than_most_is_left_out():
    maps = 0.05 + blob(4, 4).expand(10, 16, 16).clone()
    maps[7] = 0.05 + 0.5 * (1 - blob(4, 4))
    found = choose_heads([match(recorded(maps), layout=ONE)], "cat", 100.0)
    assert found.score[7] == 0 and (found.heads.weights == 0).nonzero().flatten().tolist() == [7]


def test_flat_maps_get_the_lowest_score_and_numbers_stay_finite():
    maps = random_maps()
    maps[3], maps[5] = 0.2, 0.0
    scores = [
        head_scores.compactness(maps),
        head_scores.agreement(maps),
        head_scores.low_entropy(maps),
        head_scores.peak_over_mean(maps),
    ]
    for score in scores:
        assert (score == head_scores.LOWEST).nonzero().flatten().tolist() == [3, 5]
        assert score[[0, 1, 2, 4, 6]].isfinite().all()


def test_scores_do_not_depend_on_how_much_attention_there_is():
    maps = random_maps(heads=12)
    for factor in (1e-6, 1e3):
        for score in (head_scores.compactness, head_scores.low_entropy, head_scores.agreement):
            assert torch.allclose(score(maps * factor), score(maps), atol=1e-4)


@pytest.mark.parametrize("skipped", [{}, {1: (1, 0), 3: (0, 2)}], ids=["", "case D2"])
def test_maps_of_single_heads_average_to_daam_and_each_is_the_plain_one(skipped):
    e = entry(PROMPT, counts=(3, 2), layer_counts=skipped)
    target = Target(((e, PROMPT.find("cowboy hat").columns),))
    found = head_maps(match(e), target)
    assert found.maps.shape == (LAYOUT.heads, *GRID) and found.recorded.all()
    assert (found.maps.mean(0) - word_maps(match(e), [target])[0]).abs().max() < 1e-6
    for head in (0, 4, 8, 11):
        weights = torch.zeros(LAYOUT.heads)
        weights[head] = 1
        plain = plain_map(e, target.places[0][1], GRID, weights=weights)
        assert (found.maps[head] - plain).abs().max() < 1e-6


def test_heads_are_compared_on_a_grid_of_at_most_32_pixels_a_side():
    """A large map: each pixel is the mean of those it covers. A small one: bicubic, as everywhere."""
    layout = Layout((Block("input", 1, 0, 2), Block("input", 2, 0, 3)))
    e = entry(PROMPT, grids=((64, 48), (16, 12)), layout=layout, counts=(5,))
    found = compared_maps(match(e, layout=layout), Target(((e, (2, 3)),)))
    assert found.maps.shape == (5, 32, 24)
    places = [e.columns.index(column) for column in (2, 3)]
    large, small = (
        maps[0, 0][:, places].float() / 5 for maps in (e.maps[0], e.maps[1])
    )  # (head, column, h, w)
    covered = large.view(2, 2, 32, 2, 24, 2).mean((3, 5)).mean(1)
    enlarged = (
        torch.nn.functional.interpolate(small, (32, 24), mode="bicubic", align_corners=False)
        .clamp(min=0)
        .mean(1)
    )
    assert (found.maps - torch.cat([covered, enlarged])).abs().max() < 1e-6
    whole = entry(PROMPT)
    target = Target(((whole, (2,)),))
    assert torch.equal(compared_maps(match(whole), target).maps, head_maps(match(whole), target).maps)


def test_a_layer_that_was_not_recorded_is_never_chosen():
    e = entry(PROMPT)
    del e.maps[2]
    found = choose_heads([match(e)], "cat", 100.0)
    assert found.heads.weights[LAYOUT.span(2)].sum() == 0
    assert (found.heads.weights > 0).sum() == LAYOUT.heads - LAYOUT.blocks[2].heads
    assert (found.score[LAYOUT.span(2)] == head_scores.LOWEST).all()


def blob(y: int, x: int, width=16.0, side=16):
    grid = torch.arange(side).float()
    return torch.exp(-((grid[:, None] - y) ** 2 + (grid[None] - x) ** 2) / width)


def recorded(maps: torch.Tensor, layout=ONE, batch=1) -> Entry:
    """An entry whose column of “cat” holds these maps, (head, h, w), in every other column noise."""
    p = prompt("a cat")
    columns = p.recorded_columns
    kept = torch.rand(
        batch, 1, len(maps), len(columns), *maps.shape[1:], generator=torch.Generator().manual_seed(1)
    )
    kept[:, 0, :, columns.index(p.find("cat").columns[0])] = maps
    return Entry("positive", 0, p, p.length, columns, [1], batch, {0: kept.half()})


def test_heads_that_look_at_the_thing_are_chosen():
    layout = Layout((Block("input", 1, 0, 40), Block("output", 5, 0, 20)))
    maps = 0.05 + torch.rand(60, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.01
    good = [2, 5, 7, 23, 24, 44, 45, 51, 59]
    for number in good:
        maps[number] += (0.05 + 0.015 * number) * blob(5, 10)
    maps[8] += blob(14, 1, width=2.0)  # more focused, but alone
    e = recorded(maps)
    e.maps = {0: e.maps[0][:, :, :40], 1: e.maps[0][:, :, 40:]}
    found = choose_heads([match(e, layout=layout)], "cat", 15.0)
    assert found.heads.weights.nonzero().flatten().tolist() == good
    ranges = (maps.amax((1, 2)) - maps.amin((1, 2)))[good]
    weights = found.heads.weights[good]
    expected = ranges.rsqrt() * found.score[good]
    assert torch.allclose(weights, expected / expected.mean(), rtol=0.01)
    assert found.heads.weights.sum() == pytest.approx(len(good))
    assert found.heads.label == "heads for cat, best 15 %"
    assert found.relevance.mean() == pytest.approx(1) and (found.relevance >= 0).all()


def test_of_a_batch_the_heads_that_serve_all_pictures():
    first, second = (0.05 + 0.01 * torch.rand(10, 16, 16) for _ in range(2))
    for number in (1, 2, 3):
        first[number] += blob(4, 4)
    for number in (2, 3, 4):
        second[number] += blob(11, 9)
    e = recorded(first, batch=2)
    e.maps[0][1] = recorded(second).maps[0][0]
    run = Run(ONE, [e])
    matches = [Match(run, 0, True), Match(run, 1, True)]
    assert choose_heads(matches, "cat", 20.0).heads.weights.nonzero().flatten().tolist() == [2, 3]
    alone = choose_heads(matches[:1], "cat", 30.0)
    assert alone.heads.weights.nonzero().flatten().tolist() == [1, 2, 3]
    assert torch.equal(choose_heads(matches[:1] * 3, "cat", 30.0).heads.weights, alone.heads.weights)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 3), (70, 41)])
def test_tiny_and_large_grids(size):
    maps = torch.rand(10, *size, generator=torch.Generator().manual_seed(2))
    e = recorded(maps)
    if size == (1, 1):
        with pytest.raises(ValueError, match="“cat” has no clear location.*Choose heads by concept"):
            choose_heads([match(e, layout=ONE)], "cat", 23.0)
    else:
        found = choose_heads([match(e, layout=ONE)], "cat", 23.0)
        assert (found.heads.weights > 0).sum() == 3 and found.heads.weights.isfinite().all()


def test_a_phrase_and_several_prompts():
    first, second = entry(PROMPT, seed=1), entry(prompt("cat"), seed=2, index=1)
    both = choose_heads([match(first, second)], "cat", 23.0)
    assert not torch.equal(both.score, choose_heads([match(first)], "cat", 23.0).score)
    assert (choose_heads([match(first, second)], "cowboy hat", 100.0).heads.weights > 0).all()


def test_what_cannot_be_answered_says_why():
    e = entry(PROMPT)
    with pytest.raises(WordNotFound, match="“dog” is not in the prompt"):
        choose_heads([match(e)], "dog", 23.0)
    with pytest.raises(NoRecording, match="CLIP does not come from Record Attention"):
        choose_heads([match(entry(None))], "cat", 23.0)
    with pytest.raises(ColumnNotRecorded, match="token 50 of"):
        head_maps(match(e), Target(((e, (50,)),)))
    with pytest.raises(NoRecording, match="Image 3"):
        head_maps(match(e, element=2), Target(((e, (1,)),)))
    assert len(GRIDS) == len(e.maps)
