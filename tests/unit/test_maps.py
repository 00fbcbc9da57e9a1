"""Word maps against the plainest loop, normalisation, masks and resizing."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from prompts import prompt
from synthetic import LAYOUT, entry, match, plain_map

from hrv_pack.hrv.heads.layout import Block, Layout
from hrv_pack.hrv.heads.selection import HeadSelection
from hrv_pack.hrv.maps.bicubic import bicubic_matrix, resize
from hrv_pack.hrv.maps.mask import threshold_mask
from hrv_pack.hrv.maps.normalize import normalize_maps
from hrv_pack.hrv.maps.sums_of_heads import ColumnNotRecorded
from hrv_pack.hrv.maps.word_maps import Target, column_maps, recorded_heads, word_maps
from hrv_pack.hrv.recording.recording import NoRecording

PROMPT = prompt("a cow|boy hat and a cat")
GRID = (8, 12)


def close(actual, expected):
    assert actual.shape == expected.shape and actual.dtype == torch.float32
    assert (actual - expected).abs().max() <= 1e-6


def test_the_mean_over_all_heads_is_the_plain_sum():
    e = entry(PROMPT)
    for column in (0, 2, 7):
        close(column_maps(e, 0, [column], layout=LAYOUT, grid=GRID)[0], plain_map(e, [column], GRID))


def test_clamping_matters_in_these_recordings():
    e = entry(PROMPT)
    unclamped = F.interpolate(e.maps[2][0, :, 0, 2:3].float(), GRID, mode="bicubic")
    assert unclamped.min() < -1e-2


def test_a_word_is_the_mean_of_its_tokens():
    e = entry(PROMPT)
    columns = PROMPT.find("cowboy hat").columns
    close(word_maps(match(e), [Target(((e, columns),))])[0], plain_map(e, columns, GRID))


def test_words_are_answered_in_the_order_asked():
    e = entry(PROMPT)
    targets = [Target(((e, c),)) for c in ((7,), (1, 5), (2, 3))]
    maps = word_maps(match(e), targets)
    for row, target in zip(maps, targets, strict=True):
        close(row, plain_map(e, target.places[0][1], GRID))


def test_a_word_in_two_conditionings_is_the_mean_over_all_its_tokens():
    first, second = entry(PROMPT, counts=(5,), seed=1), entry(prompt("cat"), counts=(3,), seed=2, index=1)
    maps = word_maps(match(first, second), [Target(((first, (1, 7)), (second, (1,))))])
    expected = (2 * plain_map(first, (1, 7), GRID) + plain_map(second, (1,), GRID)) / 3
    close(maps[0], expected)


@pytest.mark.parametrize("seed", range(3))
def test_a_weighted_choice_of_heads(seed):
    e = entry(PROMPT)
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(LAYOUT.heads, generator=generator) * (
        torch.rand(LAYOUT.heads, generator=generator) > 0.5
    )
    heads = HeadSelection(LAYOUT, weights)
    close(
        word_maps(match(e), [Target(((e, (2, 3)),))], heads)[0], plain_map(e, (2, 3), GRID, weights=weights)
    )
    assert recorded_heads(e, LAYOUT, heads) == int((weights > 0).sum())


@pytest.mark.parametrize("time_bin", [None, 1])
def test_balanced_heads_are_weighted_by_their_own_range(time_bin, monkeypatch):
    e = entry(PROMPT, counts=(5, 2, 7))
    weights = torch.tensor([float(n % 3 > 0) for n in range(LAYOUT.heads)])
    heads = HeadSelection(LAYOUT, weights, balanced=True)
    expected = [plain_map(e, [c], GRID, weights=weights, time_bin=time_bin, balanced=True) for c in (2, 3)]
    target = [Target(((e, (2, 3)),))]
    close(word_maps(match(e), target, heads, time_bin)[0], sum(expected) / 2)
    assert (expected[0] - plain_map(e, [2], GRID, weights=weights, time_bin=time_bin)).abs().max() > 1e-4
    monkeypatch.setattr("hrv_pack.hrv.maps.word_maps.WORKSPACE", GRID[0] * GRID[1] * 2)  # worked off in parts
    close(word_maps(match(e), target, heads, time_bin)[0], sum(expected) / 2)


def test_balanced_heads_that_look_everywhere_alike_count_nothing():
    e = entry(PROMPT)
    for maps in e.maps.values():
        maps[:, :, 1:, 2] = 3.0  # of every block only the first head tells any place from another
    firsts = torch.zeros(LAYOUT.heads)
    firsts[list(LAYOUT.offsets)[: len(LAYOUT.blocks)]] = 1.0
    every = HeadSelection(LAYOUT, torch.ones(LAYOUT.heads), balanced=True)
    expected = plain_map(e, [2], GRID, weights=firsts, balanced=True)
    close(column_maps(e, 0, [2], layout=LAYOUT, grid=GRID, heads=every)[0], expected)
    for maps in e.maps.values():
        maps[:, :, :, 2] = 3.0
    assert not column_maps(e, 0, [2], layout=LAYOUT, grid=GRID, heads=every).any()


SKIPPED = {1: (1, 2), 3: (0, 4)}  # two layers that a cache left out of evaluations (case D2)


@pytest.mark.parametrize("time_bin", [None, 0, 1])
def test_layers_are_divided_by_the_evaluations_they_took_part_in(time_bin):
    """Case D2: and a layer that ran in none of a part of the schedule has no say in it."""
    e = entry(PROMPT, counts=(3, 4), layer_counts=SKIPPED)
    for column in (0, 2):
        plain = plain_map(e, [column], GRID, time_bin=time_bin)
        close(column_maps(e, 0, [column], layout=LAYOUT, grid=GRID, time_bin=time_bin)[0], plain)
    ignorant = plain_map(dataclasses.replace(e, layer_counts={}), [2], GRID, time_bin=time_bin)
    assert not torch.allclose(ignorant, plain, atol=1e-3)
    assert recorded_heads(e, LAYOUT) == LAYOUT.heads
    assert recorded_heads(e, LAYOUT, time_bin=0) == LAYOUT.heads - LAYOUT.blocks[3].heads


def test_skipped_layers_with_chosen_heads():
    """Case D2, with weights and balanced."""
    e = entry(PROMPT, counts=(3, 4), layer_counts=SKIPPED)
    weights = torch.rand(LAYOUT.heads, generator=torch.Generator().manual_seed(2))
    for balanced in (False, True):
        heads = HeadSelection(LAYOUT, weights, balanced=balanced)
        plain = plain_map(e, [2], GRID, weights=weights, balanced=balanced)
        close(column_maps(e, 0, [2], layout=LAYOUT, grid=GRID, heads=heads)[0], plain)
    last = torch.zeros(LAYOUT.heads)
    last[LAYOUT.span(3)] = 1
    with pytest.raises(NoRecording, match="None of the chosen heads"):
        column_maps(e, 0, [2], layout=LAYOUT, grid=GRID, heads=HeadSelection(LAYOUT, last), time_bin=0)


def test_choosing_all_heads_is_the_plain_mean():
    e = entry(PROMPT)
    heads = HeadSelection(LAYOUT, torch.full((LAYOUT.heads,), 0.5))
    close(
        column_maps(e, 0, [2], layout=LAYOUT, grid=GRID, heads=heads),
        column_maps(e, 0, [2], layout=LAYOUT, grid=GRID),
    )


def test_blocks_without_a_chosen_head_are_not_touched():
    e = entry(PROMPT)
    weights = torch.zeros(LAYOUT.heads)
    weights[LAYOUT.span(1)] = 1.0
    expected = plain_map(e, (2,), GRID, weights=weights)
    for block in (0, 2, 3):
        e.maps[block] = torch.full_like(e.maps[block], torch.nan)
    close(column_maps(e, 0, [2], layout=LAYOUT, grid=GRID, heads=HeadSelection(LAYOUT, weights))[0], expected)


def test_heads_that_are_not_chosen_are_not_touched():
    e = entry(PROMPT)
    weights = torch.zeros(LAYOUT.heads)
    weights[4] = 1.0  # the second head of block 1
    expected = plain_map(e, (2,), GRID, weights=weights)
    e.maps[1][:, :, 0] = torch.nan
    close(column_maps(e, 0, [2], layout=LAYOUT, grid=GRID, heads=HeadSelection(LAYOUT, weights))[0], expected)


@pytest.mark.parametrize("time_bin", [None, 0, 1, 2])
def test_parts_of_the_schedule(time_bin):
    e = entry(PROMPT, counts=(5, 2, 7))
    maps = word_maps(match(e), [Target(((e, (2, 3)),))], time_bin=time_bin)
    close(maps[0], plain_map(e, (2, 3), GRID, time_bin=time_bin))


@pytest.mark.parametrize("element", [0, 2])
def test_each_picture_of_a_batch_has_its_own_maps(element):
    e = entry(PROMPT, batch=3)
    maps = word_maps(match(e, element=element), [Target(((e, (2,)),))])
    close(maps[0], plain_map(e, (2,), GRID, element=element))
    assert not torch.allclose(maps[0], plain_map(e, (2,), GRID, element=1))


@pytest.mark.parametrize(
    "grids", [((7, 11), (4, 6), (2, 3), (7, 11)), ((4, 4),) * 4, ((5, 3), (9, 2), (1, 1), (6, 6))]
)
def test_any_grid_sizes(grids):
    e = entry(PROMPT, grids=grids)
    m = match(e)
    close(word_maps(m, [Target(((e, (2,)),))])[0], plain_map(e, (2,), m.run.grid))


def test_large_grids_and_many_columns_are_worked_off_in_parts(monkeypatch):
    e = entry(PROMPT)
    columns = list(e.columns)
    whole = column_maps(e, 0, columns, layout=LAYOUT, grid=GRID)
    monkeypatch.setattr("hrv_pack.hrv.maps.word_maps.WORKSPACE", 7 * GRID[0] * GRID[1])
    close(column_maps(e, 0, columns, layout=LAYOUT, grid=GRID), whole)
    monkeypatch.setattr("hrv_pack.hrv.maps.word_maps.WORKSPACE", 1)
    close(column_maps(e, 0, columns, layout=LAYOUT, grid=GRID), whole)


def test_sdxl_shaped_blocks_against_the_plain_loop():
    layout = Layout((Block("input", 4, 0, 10), Block("input", 7, 0, 20), Block("middle", 0, 0, 20)))
    e = entry(prompt("cat"), columns=(1,), grids=((64, 64), (32, 32), (32, 32)), layout=layout, counts=(30,))
    maps = word_maps(match(e, layout=layout), [Target(((e, (1,)),))])
    close(maps[0], plain_map(e, (1,), (64, 64), layout=layout))


def test_a_recording_that_lacks_a_block_averages_the_heads_it_has():
    e = entry(PROMPT)
    del e.maps[0], e.maps[2]
    close(column_maps(e, 0, [2], layout=LAYOUT, grid=GRID)[0], plain_map(e, (2,), GRID))
    assert recorded_heads(e, LAYOUT) == 5


def test_the_recording_is_left_as_it_was():
    e = entry(PROMPT)
    before = {block: maps.clone() for block, maps in e.maps.items()}
    word_maps(match(e), [Target(((e, (2, 3)),))])
    assert all(torch.equal(before[block], e.maps[block]) for block in before)


def test_a_column_that_was_not_kept_is_an_error():
    e = entry(PROMPT, columns=(0, 1, 3))
    assert column_maps(e, 0, [3, 1], layout=LAYOUT, grid=GRID).shape == (2, *GRID)
    with pytest.raises(
        ColumnNotRecorded,
        match="token 2 of the positive prompt. It keeps 3 of the prompt's 77 tokens. Sample again",
    ):
        column_maps(e, 0, [1, 2], layout=LAYOUT, grid=GRID)


def test_heads_that_were_not_recorded_are_an_error():
    e = entry(PROMPT)
    del e.maps[1]
    weights = torch.zeros(LAYOUT.heads)
    weights[LAYOUT.span(1)] = 1.0
    with pytest.raises(NoRecording, match="None of the chosen heads"):
        column_maps(e, 0, [2], layout=LAYOUT, grid=GRID, heads=HeadSelection(LAYOUT, weights))


def test_heads_of_another_model_are_an_error():
    e = entry(PROMPT)
    other = Layout((Block("middle", 0, 0, 5),))
    with pytest.raises(ValueError, match="5 heads; .* 12"):
        word_maps(match(e), [Target(((e, (2,)),))], HeadSelection(other, torch.ones(5)))


def test_a_part_without_evaluations_and_a_picture_out_of_range_are_errors():
    e = entry(PROMPT, counts=(5, 0))
    with pytest.raises(NoRecording, match="no evaluations"):
        column_maps(e, 0, [2], layout=LAYOUT, grid=GRID, time_bin=1)
    with pytest.raises(NoRecording, match="Image 2"):
        column_maps(e, 1, [2], layout=LAYOUT, grid=GRID)


@pytest.mark.parametrize("source, target", [(32, 64), (7, 13), (5, 3), (8, 8), (1, 6), (3, 200)])
def test_the_matrix_is_the_interpolation(source, target):
    x = torch.rand(1, 1, source, source)
    matrix = bicubic_matrix(source, target)
    expected = F.interpolate(x, (target, target), mode="bicubic", align_corners=False)
    assert (matrix @ x[0, 0] @ matrix.T - expected[0, 0]).abs().max() <= 1e-6


@pytest.mark.parametrize("size", [(100, 40), (8, 12), (3, 5), (1024, 768)])
def test_resizing_is_bicubic(size):
    maps = torch.rand(2, *GRID)
    expected = F.interpolate(maps[None], size, mode="bicubic", align_corners=False)[0]
    assert (resize(maps, size) - expected).abs().max() <= 2e-6


def test_a_shared_scale_keeps_an_ignored_word_dark():
    maps = torch.stack([torch.full((2, 2), 0.01), torch.tensor([[0.1, 0.2], [0.3, 0.4]])])
    heat = normalize_maps(maps, "shared")
    assert torch.allclose(heat, maps / 0.4)
    assert torch.allclose(normalize_maps(maps, "shared", peak=0.8), maps / 0.8)
    assert normalize_maps(maps, "shared", peak=0.2).max() == 1.0


def test_a_scale_per_word_takes_the_minimum_away():
    maps = torch.stack([torch.full((2, 2), 0.01), torch.tensor([[0.1, 0.2], [0.3, 0.5]])])
    heat = normalize_maps(maps, "per word")
    assert torch.equal(heat[0], torch.zeros(2, 2))
    assert torch.allclose(heat[1], torch.tensor([[0.0, 0.25], [0.5, 1.0]]))


def test_nothing_but_zeros_stays_zero_on_either_scale():
    zeros = torch.zeros(2, 3, 3)
    for how in ("shared", "per word"):
        assert torch.equal(normalize_maps(zeros, how), zeros)
    assert torch.equal(normalize_maps(zeros, "shared", peak=0.0), zeros)
    with pytest.raises(ValueError, match="shared, per word"):
        normalize_maps(zeros, "other")


def test_the_mask_begins_at_the_threshold_between_minimum_and_maximum():
    maps = torch.tensor([[[1.0, 2.0, 3.0, 5.0]]])
    assert threshold_mask(maps, 0.25).tolist() == [[[0, 1, 1, 1]]]
    assert threshold_mask(maps, 0.26).tolist() == [[[0, 0, 1, 1]]]
    assert threshold_mask(maps, 0.0).tolist() == [[[1, 1, 1, 1]]]
    assert threshold_mask(maps, 1.0).tolist() == [[[0, 0, 0, 1]]]


@pytest.mark.parametrize("threshold", [0.0, 0.4, 1.0])
def test_a_flat_map_has_an_empty_mask(threshold):
    assert threshold_mask(torch.full((1, 2, 2), 0.3), threshold).sum() == 0
