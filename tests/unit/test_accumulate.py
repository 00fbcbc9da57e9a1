"""Sums of maps over evaluations, the memory budget, and crops put back in their place."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hrv_pack.hrv.heads.layout import Block, Layout
from hrv_pack.hrv.recording import sums as module
from hrv_pack.hrv.recording.recording import Entry, Run
from hrv_pack.hrv.recording.sums import SMALLEST_SIDE, Accumulator, place_crop, resize_maps

LAYOUT = Layout(tuple(Block("input", n, 0, 2) for n in range(3)))


def maps(*size: int, seed: int = 0) -> torch.Tensor:
    """One evaluation of one layer: (batch 1, head 2, column 3, height, width)."""
    return torch.rand((1, 2, 3, *size), generator=torch.Generator().manual_seed(seed))


HALF = module.AT_REST


@pytest.fixture(autouse=True)
def unrounded(monkeypatch):
    """Sums come to rest as they are."""
    monkeypatch.setattr(module, "AT_REST", torch.float32)


def start(limit: int = 2**20, bins: int = 1) -> tuple[Accumulator, Entry]:
    entry = Entry("positive", 0, None, 3, (0, 1, 2), [0] * bins, 1)
    return Accumulator(Run(LAYOUT, [entry]), bins, limit), entry


def test_sums_over_evaluations_and_bins():
    sums, entry = start(bins=2)
    for time_bin, seed in ((0, 1), (0, 2), (1, 3)):
        sums.add(entry, 0, time_bin, maps(4, 5, seed=seed))
    sums.finish()
    assert entry.maps[0].shape == (1, 2, 2, 3, 4, 5) and entry.maps[0].dtype == torch.float32
    assert torch.allclose(entry.maps[0][:, 0], maps(4, 5, seed=1) + maps(4, 5, seed=2))
    assert torch.equal(entry.maps[0][:, 1], maps(4, 5, seed=3))


def test_adding_in_place_is_the_same():
    sums, entry = start(bins=2)
    for time_bin, seed in ((0, 1), (0, 2), (1, 3)):
        one = maps(4, 5, seed=seed)
        room = sums.room(entry, 0, time_bin, one.shape, one.device)
        assert room.shape == one.shape
        room += one
    sums.finish()
    assert torch.allclose(entry.maps[0][:, 0], maps(4, 5, seed=1) + maps(4, 5, seed=2))
    assert torch.equal(entry.maps[0][:, 1], maps(4, 5, seed=3)) and entry.maps[0].is_contiguous()


def test_a_bin_that_is_done_rests_on_the_cpu_in_half_precision(monkeypatch):
    """And is taken up again where a sampler goes back to it."""
    monkeypatch.setattr(module, "AT_REST", HALF)
    sums, entry = start(bins=2)

    def add(time_bin: int, seed: int) -> torch.Tensor:
        one = maps(4, 5, seed=seed)
        sums.room(entry, 0, time_bin, one.shape, one.device).add_(one)
        return one

    first, (layer,) = add(0, 1), sums._layers.values()
    assert layer._resting is None
    second = add(1, 2)
    assert layer._filling[1].shape == first.shape and layer._resting.dtype == torch.float16
    assert torch.equal(layer._resting[:, 0], first.half())
    again = add(0, 3)
    assert torch.equal(layer._resting[:, 1], second.half())
    sums.finish()
    assert torch.allclose(entry.maps[0][:, 0].float(), first + again, rtol=2**-9)
    assert torch.allclose(entry.maps[0][:, 1].float(), second, rtol=2**-10)


def test_a_bin_in_which_nothing_was_seen_is_0():
    sums, entry = start(bins=3)
    sums.add(entry, 0, 1, maps(4, 5))
    sums.finish()
    assert torch.equal(entry.maps[0][:, 1], maps(4, 5)) and not entry.maps[0][:, ::2].any()


def test_no_room_where_probabilities_cannot_be_added_as_they_are():
    sums, entry = start(limit=2 * 6 * 16 * 16)
    shape = (1, 2, 3, 32, 32)
    assert sums.room(entry, 0, 0, shape, torch.device("cpu")) is None  # pooled: too large for the budget
    assert sums.room(entry, 0, 0, (1, 2, 3, 16, 16), torch.device("cpu")) is not None
    assert sums.room(entry, 0, 0, (1, 2, 3, 16, 16), torch.device("meta")) is None
    sums.drop(entry, 0)
    assert sums.room(entry, 0, 0, (1, 2, 3, 16, 16), torch.device("cpu")) is None


def test_what_is_added_is_not_changed_later():
    sums, entry = start()
    first = maps(4, 4)
    sums.add(entry, 0, 0, first)
    sums.add(entry, 0, 0, maps(4, 4, seed=1))
    assert torch.equal(first, maps(4, 4))


def test_at_rest_in_half_precision(monkeypatch):
    monkeypatch.setattr(module, "AT_REST", HALF)
    sums, entry = start()
    sums.add(entry, 0, 0, maps(4, 4))
    sums.finish()
    assert entry.maps[0].dtype == torch.float16
    assert torch.allclose(entry.maps[0][:, 0].float(), maps(4, 4), rtol=2**-11)


def test_a_dropped_layer_stays_out():
    sums, entry = start()
    sums.add(entry, 0, 0, maps(4, 4))
    sums.add(entry, 1, 0, maps(4, 4))
    sums.drop(entry, 0)
    sums.add(entry, 0, 0, maps(4, 4))
    sums.finish()
    assert set(entry.maps) == {1}


def test_nothing_is_pooled_within_the_budget():
    sums, entry = start(limit=2 * 6 * 32 * 32)
    sums.add(entry, 0, 0, maps(32, 32))
    sums.finish()
    assert entry.maps[0].shape[-2:] == (32, 32) and sums.pooled_blocks == 0


def test_the_largest_maps_are_pooled_and_keep_their_mean():
    sums, entry = start(limit=2 * 6 * (16 * 20 + 10 * 10))
    sums.add(entry, 0, 0, maps(10, 10))
    sums.add(entry, 1, 0, maps(32, 40))
    sums.add(entry, 1, 0, maps(32, 40, seed=1))  # later evaluations come in full size
    sums.finish()
    assert [entry.maps[n].shape[-2:] for n in (0, 1)] == [(10, 10), (16, 20)] and sums.pooled_blocks == 1
    plain = (maps(32, 40) + maps(32, 40, seed=1)).unflatten(-1, (20, 2)).unflatten(-3, (16, 2)).mean((-1, -3))
    assert torch.allclose(entry.maps[1][:, 0], plain, atol=1e-5)


def test_all_runs_and_bins_count_for_the_budget():
    sums, entry = start(limit=2 * 6 * 32 * 32, bins=4)
    sums.add(entry, 0, 0, maps(32, 32))
    sums.finish()
    assert entry.maps[0].shape[-2:] == (16, 16)


def test_pooling_ends_where_maps_mean_nothing_any_more():
    sums, entry = start(limit=1)
    sums.add(entry, 0, 0, maps(64, 48))
    sums.finish()
    assert min(entry.maps[0].shape[-2:]) <= SMALLEST_SIDE
    assert min(entry.maps[0].shape[-2:]) * 2 > SMALLEST_SIDE


def test_a_grid_that_changes_while_sampling():
    """Deep Shrink: the sums stay on the first grid."""
    sums, entry = start()
    sums.add(entry, 0, 0, maps(4, 6))
    sums.add(entry, 0, 0, torch.ones(1, 2, 3, 8, 12))
    sums.finish()
    assert torch.allclose(entry.maps[0][:, 0], maps(4, 6) + 1)


def plain_resize(values: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Every old pixel split into whole parts of the new ones, then averaged."""
    h, w = values.shape
    fine = values.repeat_interleave(size[0], 0).repeat_interleave(size[1], 1)
    return fine.reshape(size[0], h, size[1], w).mean((1, 3))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 13), st.integers(1, 13), st.integers(1, 13), st.integers(1, 13))
def test_resizing_averages_areas_and_keeps_the_mean(h, w, to_h, to_w):
    values = torch.rand((2, 3, h, w), generator=torch.Generator().manual_seed(h * w))
    found = resize_maps(values, (to_h, to_w))
    assert found.shape == (2, 3, to_h, to_w)
    assert torch.allclose(found[1, 2], plain_resize(values[1, 2], (to_h, to_w)), atol=1e-5)
    assert torch.allclose(found.mean((-2, -1)), values.mean((-2, -1)), atol=1e-5)


def halved(n: int, times: int) -> int:
    for _ in range(times):
        n = -(-n // 2)
    return n


@pytest.mark.parametrize("times", [0, 1, 2, 3])
@pytest.mark.parametrize("crop", [(8, 16, 0, 0), (8, 16, 8, 16), (16, 8, 5, 9), (11, 13, 13, 19)], ids=str)
def test_a_crop_is_put_where_its_area_lies(times, crop):
    height, width, y, x = crop
    latent = (24, 32)
    values = torch.rand(2, 3, halved(height, times), halved(width, times)) + 0.1
    placed = place_crop(values, crop, latent)
    assert placed.shape == (2, 3, halved(24, times), halved(32, times))
    inside = placed > 0
    assert inside.sum() == values.numel()
    ys, xs = (axis.unique() for axis in inside[0, 0].nonzero().T)
    assert torch.equal(placed[..., ys[:, None], xs], values)
    assert abs(ys[0].item() - y / 2**times) <= 0.5 + 1 and abs(xs[0].item() - x / 2**times) <= 0.5 + 1
    if y % 2**times == 0 and x % 2**times == 0:
        assert (ys[0], xs[0]) == (y // 2**times, x // 2**times)


def test_the_whole_picture_is_no_crop():
    values = torch.rand(2, 12, 16)
    assert place_crop(values, (24, 32, 0, 0), (24, 32)) is values


def test_a_map_that_does_not_fit_its_area_is_an_error():
    with pytest.raises(ValueError, match="a map of 5×7 pixels does not fit an area of 8×16 latent pixels"):
        place_crop(torch.zeros(5, 7), (8, 16, 0, 0), (24, 32))


@pytest.mark.parametrize("value", [0.0, 1.0, 6e-8, 65504.0, -65504.0, 70000.0, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("time_bin", [0, 1])
def test_values_that_are_no_numbers_are_found(value, time_bin, monkeypatch):
    """Also those that half precision does not hold."""
    monkeypatch.setattr(module, "AT_REST", HALF)
    sums, entry = start(bins=2)
    for number in range(2):
        one = maps(4, 4, seed=number)
        one[0, 1, 2, 3, 0] = value if number == time_bin else 0.5
        sums.add(entry, 0, number, one)
    sums.finish()
    assert sums.is_finite == (abs(value) <= 65504) == bool(entry.maps[0].isfinite().all())


def test_values_of_layers_that_are_left_out_may_be_anything():
    sums, entry = start(bins=2)
    for time_bin in range(2):
        for block in range(2):
            sums.add(entry, block, time_bin, maps(4, 4) if block else torch.full((1, 2, 3, 4, 4), math.nan))
    sums.drop(entry, 0)
    sums.finish()
    assert sums.is_finite and set(entry.maps) == {1}


def test_another_generation_where_rooms_are_gone(monkeypatch):
    sums, entry = start(bins=2)
    shape, cpu, seen = (1, 2, 3, 4, 4), torch.device("cpu"), []

    def changes() -> bool:
        """Whether rooms that were given may be gone since the last call."""
        seen.append(sums.generation)
        return len(seen) > 1 and seen[-1] != seen[-2]

    for block in range(2):
        sums.room(entry, block, 0, shape, cpu)
    assert not changes()
    room = sums.room(entry, 0, 0, shape, cpu)
    assert not changes() and sums.room(entry, 0, 0, shape, cpu) is room
    sums.room(entry, 0, 1, shape, cpu)  # another bin begins: what was filled rests
    assert changes()
    monkeypatch.setattr(module, "SMALLEST_SIDE", 1)
    sums.memory_limit = sums.bytes_at_rest()
    sums.room(entry, 2, 1, shape, cpu)  # too much: maps are made smaller
    assert changes()
    sums.drop(entry, 2)
    assert changes()
    sums.free()
    assert changes()


@pytest.mark.parametrize("limit", [2**20, 300], ids=["enough", "made smaller"])
def test_maps_rest_in_memory_that_was_made_ready(limit, monkeypatch):
    """Where it is still of the right size."""
    monkeypatch.setattr(module._Layer, "is_on_a_card", True)
    monkeypatch.setattr(module, "SMALLEST_SIDE", 1)
    sums, entry = start(bins=2)
    for time_bin in range(2):
        for block in range(2):
            sums.add(entry, block, time_bin, maps(4, 4, seed=block))
            sums.prepare()
        if time_bin == 0:
            sums._wait()
            layers = list(sums._layers.values())
            ready = [layer._ready.data_ptr() for layer in layers]
            sums.memory_limit = limit
            sums._make_room()
    assert [layer._resting.data_ptr() == place for layer, place in zip(layers, ready)] == [limit > 300] * 2
    sums.finish()
    side = 4 if limit > 300 else 2
    for block in range(2):
        expected = resize_maps(maps(4, 4, seed=block), (side, side))
        assert torch.allclose(entry.maps[block][:, 0], expected) and torch.allclose(
            entry.maps[block][:, 1], expected
        )
