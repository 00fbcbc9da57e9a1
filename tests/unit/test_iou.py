"""Mask IoU against counting pixels, and what it does at the edges."""

import math
import statistics

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hrv_pack.hrv.maps.mask_iou import binary, iou_table, mask_iou, parse_thresholds

HALVES = (0.3, 0.4, 0.5)


def random_masks(n, height, width, seed=0):
    return torch.rand(n, height, width, generator=torch.Generator().manual_seed(seed))


def plain_iou(mask, truth, threshold) -> float:
    """docs/formulas.md read aloud, pixel by pixel; sizes are equal, the mask is soft."""
    low, high = float(mask.min()), float(mask.max())
    both = either = 0
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            found = high > low and (float(mask[y, x]) - low) / (high - low) >= threshold
            true = float(truth[y, x]) >= 0.5
            both += found and true
            either += found or true
    return both / either if either else 1.0


def test_against_counting_pixels():
    masks, truths = random_masks(5, 7, 9) * 0.6 + 0.2, random_masks(5, 7, 9, seed=1)
    result = mask_iou(masks, truths, HALVES)
    for row, threshold in enumerate(HALVES):
        scores = [plain_iou(m, t, threshold) for m, t in zip(masks, truths, strict=True)]
        assert result.scores[row].tolist() == scores
        assert result.means[row] == pytest.approx(statistics.mean(scores))
        assert result.spreads[row] == pytest.approx(statistics.stdev(scores))
    assert result.best == max(result.means)


def test_one_truth_for_many_masks():
    masks, truth = random_masks(3, 8, 8), random_masks(1, 8, 8, seed=1)
    assert torch.equal(
        mask_iou(masks, truth, HALVES).scores, mask_iou(masks, truth.expand(3, -1, -1), HALVES).scores
    )
    assert torch.equal(mask_iou(masks[0], truth[0], HALVES).scores, mask_iou(masks[:1], truth, HALVES).scores)


@pytest.mark.parametrize(("masks", "truths"), [(2, 3), (3, 2), (1, 3)])
def test_batches_that_do_not_pair(masks, truths):
    with pytest.raises(ValueError, match=f"There are {masks} masks and {truths} truths. Connect as many"):
        mask_iou(torch.zeros(masks, 4, 4), torch.zeros(truths, 4, 4), HALVES)


def test_empty_masks():
    empty, full = torch.zeros(1, 4, 6), torch.ones(1, 4, 6)
    for mask, truth, iou in ((empty, empty, 1), (empty, full, 0), (full, empty, 0), (full, full, 1)):
        result = mask_iou(mask, truth, HALVES)
        assert result.means == [iou] * 3 and result.empty == (truth is empty)
    grey = torch.full((1, 4, 6), 0.7)  # a soft mask that is the same everywhere shows nothing
    assert mask_iou(grey, empty, HALVES).best == 1 and mask_iou(grey, full, HALVES).best == 0


def test_a_soft_mask_is_resized_as_word_maps_are():
    mask, truth = random_masks(1, 6, 10), random_masks(1, 24, 35, seed=1)
    large = F.interpolate(mask[None], (24, 35), mode="bicubic", align_corners=False)[0, 0]
    assert mask_iou(mask, truth, (0.4,)).best == plain_iou(large, truth[0], 0.4)


@pytest.mark.parametrize("factor", [2, 5])
def test_a_hard_mask_stays_hard_at_any_size(factor):
    mask = (random_masks(1, 6, 10) > 0.5).float()
    large = mask.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    assert torch.equal(binary(mask[0], large.shape[1:], 0.99), large[0] > 0)
    assert mask_iou(mask, large, (0.01, 0.99)).means == [1, 1]
    assert mask_iou(large, mask, (0.01, 0.99)).means == [1, 1]


def test_what_other_packs_pass_as_masks():
    mask, truth = random_masks(2, 6, 8) > 0.5, random_masks(2, 6, 8, seed=1) > 0.5
    expected = mask_iou(mask.float(), truth.float(), HALVES).scores
    for convert in (
        lambda t: t,
        lambda t: t.half(),
        lambda t: t.double(),
        lambda t: t.to(torch.uint8),
        lambda t: t[:, None].float(),
        lambda t: t[..., None].float(),
        lambda t: t.float().transpose(1, 2).contiguous().transpose(1, 2),
        lambda t: t.float().requires_grad_(),
    ):
        assert torch.equal(mask_iou(convert(mask), convert(truth), HALVES).scores, expected)
    assert torch.equal(mask_iou(mask, truth.float() * 255, HALVES).scores, expected)


@pytest.mark.parametrize("shape", [(), (4,), (0, 4, 4), (1, 0, 4), (1, 2, 4, 3), (1, 1, 1, 4, 4)])
def test_shapes_that_are_no_masks(shape):
    with pytest.raises(ValueError, match="must be .batch, height, width"):
        mask_iou(torch.zeros(shape), torch.zeros(1, 4, 4), HALVES)
    with pytest.raises(ValueError, match="The truth must be"):
        mask_iou(torch.zeros(1, 4, 4), torch.zeros(shape), HALVES)


def test_masks_that_are_not_numbers():
    bad = torch.full((1, 4, 4), math.nan)
    with pytest.raises(ValueError, match="The mask holds values that are not numbers"):
        mask_iou(bad, torch.zeros(1, 4, 4), HALVES)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.3,0.4,0.5", HALVES),
        (" 0.3 ;0.4\n0.5, ", HALVES),
        ("0.5 0.3 0.5", (0.5, 0.3)),
        ("0,1", (0, 1)),
        (".5,5e-1", (0.5,)),
    ],
)
def test_thresholds(text, values):
    assert parse_thresholds(text) == values


@pytest.mark.parametrize(
    "text", ["", " , ", "half", "0.3,x", "1.2", "-0.1", "nan", "inf", "30%", "0.3,,high"]
)
def test_thresholds_that_are_none(text):
    with pytest.raises(ValueError, match="numbers from 0 to 1, separated by commas"):
        parse_thresholds(text)


def test_too_many_thresholds():
    with pytest.raises(ValueError, match="101 thresholds; at most 100"):
        parse_thresholds(",".join(str(i / 200) for i in range(101)))


def test_the_table():
    truth = torch.zeros(2, 1, 4)
    truth[0, 0, :2] = 1
    mask = torch.tensor([[[1.0, 0.45, 0.35, 0.0]], [[0.0, 0.0, 0.0, 0.0]]])
    result = mask_iou(mask, truth, HALVES)  # first pair: 2/3, 1, 1/2; second: both empty, 1
    assert iou_table(result).splitlines() == [
        "| threshold | mean IoU | spread | lowest | highest |",
        "|---:|---:|---:|---:|---:|",
        "| 0.3 | 0.8333 | 0.2357 | 0.6667 | 1.0000 |",
        "| **0.4** | **1.0000** | **0.0000** | **1.0000** | **1.0000** |",
        "| 0.5 | 0.7500 | 0.3536 | 0.5000 | 1.0000 |",
        "",
        "Best: 1.0000 at 0.4 · 2 masks · 1 with an empty truth",
    ]
    assert "| **0.3** | **0.6667** | **–** |" in iou_table(mask_iou(mask[:1], truth[:1], (0.3,)))


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 3),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.sampled_from([1.0, 1e-30, 1e30]),
    st.booleans(),
    st.lists(st.floats(0, 1), min_size=1, max_size=4, unique=True),
)
def test_properties(seed, n, size, truth_size, scale, hard, thresholds):
    masks, truths = random_masks(n, *size, seed=seed), random_masks(n, *truth_size, seed=seed + 1)
    masks = (masks > 0.5).float() if hard else masks * scale
    result = mask_iou(masks, truths, tuple(thresholds))
    assert result.scores.shape == (len(thresholds), n)
    assert ((result.scores >= 0) & (result.scores <= 1)).all()
    assert result.best == max(result.means)
    assert mask_iou((truths >= 0.5).float(), truths, (0.5,)).best == 1  # a truth is its own best mask
    shuffled = mask_iou(masks.flip(0), truths.flip(0), tuple(thresholds))
    assert torch.equal(shuffled.scores, result.scores.flip(1))
    assert len(iou_table(result).splitlines()) == len(thresholds) + 4
