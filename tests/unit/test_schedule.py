"""Which parts of the schedule are kept apart, and that what is read from them adds up."""

import pytest
import torch
from prompts import prompt
from synthetic import GRIDS, LAYOUT, entry, match

from hrv_pack.hrv.maps.head_maps import head_maps
from hrv_pack.hrv.maps.word_maps import Target, word_maps
from hrv_pack.hrv.recording.schedule import LATE, Bin, schedule

PROMPT = prompt("a red cat")


@pytest.mark.parametrize(
    "asked, edges, bins",
    [
        ((0.0, 1.0, 1), (0.0, 0.6, 1.0), (Bin(0), Bin(0, True))),
        ((0.0, 1.0, 2), (0.0, 0.5, 0.6, 1.0), (Bin(0), Bin(1), Bin(1, True))),
        ((0.0, 1.0, 5), (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), (Bin(0), Bin(1), Bin(2), Bin(3, True), Bin(4, True))),
        ((0.25, 0.75, 1), (0.25, 0.6, 0.75), (Bin(0), Bin(0, True))),
        ((0.7, 1.0, 1), (0.7, 1.0), (Bin(0, True),)),
        ((0.0, 0.5, 1), (0.0, 0.5), (Bin(0),)),
    ],
)
def test_parts_and_their_late_bins(asked, edges, bins):
    found = schedule(*asked)
    assert found.edges == pytest.approx(edges) and found.bins == bins


def with_bins(*bins, counts, **more):
    made = entry(PROMPT, counts=counts, **more)
    made.bins = bins
    return made


def test_the_whole_is_early_and_late_together():
    e = with_bins(Bin(0), Bin(0, True), counts=(6, 4))
    column = PROMPT.find("cat").columns[0]
    place, target = e.columns.index(column), Target(((e, (column,)),))
    assert (e.parts, e.count(), e.count(LATE), e.count(0)) == (1, 10, 4, 10)
    for block, grid in enumerate(GRIDS):
        early, late = e.maps[block][0, :, :, place].float()
        heads = LAYOUT.span(block)
        if grid == match(e).run.grid:
            assert torch.allclose(head_maps(match(e), target).maps[heads], (early + late) / 10, atol=1e-4)
            assert torch.allclose(head_maps(match(e), target, time_bin=LATE).maps[heads], late / 4, atol=1e-4)
    assert torch.allclose(word_maps(match(e), [target], time_bin=0), word_maps(match(e), [target]))


def test_where_nothing_was_late_all_of_it_counts():
    target = Target(((e := with_bins(Bin(0), Bin(0, True), counts=(2, 0)), PROMPT.find("cat").columns),))
    assert torch.equal(word_maps(match(e), [target], time_bin=LATE), word_maps(match(e), [target]))


def test_bins_in_which_nothing_was_seen_are_let_go():
    e = with_bins(Bin(0), Bin(0, True), counts=(0, 4))
    wanted = word_maps(match(e), [Target(((e, PROMPT.find("cat").columns),))])
    nbytes = e.nbytes
    e.drop_empty_bins()
    assert e.bins == (Bin(0, True),) and e.counts == [4]
    assert all(maps.shape[1] == 1 for maps in e.maps.values()) and e.nbytes == nbytes // 2
    assert torch.equal(word_maps(match(e), [Target(((e, PROMPT.find("cat").columns),))]), wanted)


def test_a_part_without_evaluations_stays():
    e = with_bins(Bin(0), Bin(1), Bin(1, True), counts=(0, 0, 4))
    e.drop_empty_bins()
    assert e.bins == (Bin(0), Bin(1, True)) and e.counts == [0, 4] and e.parts == 2
