"""Two recordings set against each other: by hand, across grids, with words that only one has."""

import json

import pytest
import torch
from prompts import prompt
from synthetic import LAYOUT, entry, recording, run_of

from hrv_pack.hrv.look.compare_runs import MOVED, Side, change, compare_recordings
from hrv_pack.hrv.look.compare_runs_page import comparison_page
from hrv_pack.hrv.maps.bicubic import resize
from hrv_pack.hrv.maps.word_maps import Target, word_maps
from hrv_pack.hrv.prompt import WordNotFound
from hrv_pack.hrv.recording.recording import Match

HALF = ((4, 6), (2, 3), (1, 2), (4, 6))


def side(text: str, seed: int, batch: int = 1, **how) -> Side:
    latent = torch.randn(batch, 4, 16, 24, generator=torch.Generator().manual_seed(seed))
    return Side(recording(run_of(latent, entry(prompt(text), batch=batch, seed=seed, **how))), latent)


def plain_map(one: Side, word: str) -> torch.Tensor:
    run = one.recording.runs[-1]
    own = run.entries[0]
    return word_maps(Match(run, 0, True), [Target(((own, own.prompt.find(word).columns),))])[0]


def spot(x: int, y: int, height: float) -> torch.Tensor:
    map = torch.full((20, 20), 0.01)
    map[y - 1 : y + 2, x - 1 : x + 2] = height
    return map


def test_the_difference_is_that_of_the_plain_maps_also_across_grids():
    a, b = side("a red cat and a dog", 1), side("the red cat on sand", 2, grids=HALF)
    found = compare_recordings(a, b)
    assert {one.name for one in found.changes} == {"red", "cat"}
    assert (found.only_a, found.only_b) == (["dog"], ["sand"])
    for one in found.changes:
        expected = resize(plain_map(b, one.name)[None], (8, 12))[0].clamp(min=0) - plain_map(a, one.name)
        assert torch.allclose(one.difference, expected, atol=1e-6)
    sizes = [one.size for one in found.changes]
    assert sizes == sorted(sizes, reverse=True) and found.scale == sizes[0]
    masks = found.masks
    assert masks.shape == (2, 128, 192) and float(masks.max()) == pytest.approx(1, abs=0.1)


def test_a_recording_against_itself_changes_nothing():
    a = side("a red cat", 1)
    found = compare_recordings(a, a)
    assert found.scale == 0 and not found.masks.any()
    assert all(one.what == "stayed" for one in found.changes)
    assert comparison_page(found).isfinite().all()


@pytest.mark.parametrize(
    "a, b, what, sentence",
    [
        (spot(4, 10, 0.2), spot(14, 10, 0.2), "moved", "moved to the right:"),
        (spot(10, 14, 0.2), spot(4, 4, 0.2), "moved", "moved to the left and up:"),
        (spot(10, 10, 0.2), spot(10, 10, 0.05), "faded", "faded:"),
        (spot(4, 4, 0.05), spot(4, 14, 0.2), "grew", "grew stronger and moved down:"),
        (spot(10, 10, 0.2), spot(11, 10, 0.19), "stayed", "stayed where it was:"),
    ],
)
def test_what_became_of_a_word(a, b, what, sentence):
    found = change("cat", a, b)
    assert found.what == what and f"“cat” {sentence}" in found.sentence
    assert found.strength == pytest.approx((float(a.max()) - 0.01, float(b.max()) - 0.01))


def test_how_far_a_word_moved_is_a_part_of_the_image():
    assert change("cat", spot(4, 10, 0.2), spot(14, 8, 0.2)).moved == pytest.approx((0.5, -0.1))
    assert change("cat", torch.full((20, 20), 0.1), spot(4, 4, 0.2)).moved == (0, 0)
    assert MOVED == 0.1


def test_words_that_were_typed_must_be_in_both():
    a, b = side("a red cat and a dog", 1), side("the red cat on sand", 2)
    assert [one.name for one in compare_recordings(a, b, "cat").changes] == ["cat"]
    with pytest.raises(WordNotFound, match="dog"):
        compare_recordings(a, b, "cat, dog")


def test_nothing_in_common_and_other_shapes_are_refused():
    with pytest.raises(WordNotFound, match="no word in common"):
        compare_recordings(side("a red cat", 1), side("blue dog", 2))
    with pytest.raises(ValueError, match="different shapes"):
        compare_recordings(side("a cat", 1), side("a cat", 2, grids=((8, 8), (4, 4), (2, 2), (8, 8))))


def test_of_batches_the_first_images_are_compared_and_it_is_said():
    found = compare_recordings(side("a cat", 1, batch=2), side("a cat", 2))
    assert len(found.changes) == 1 and any("first image of each batch" in one for one in found.warnings)


def test_the_page_and_the_data():
    a, b = side("a red cat and a dog", 1), side("the red cat on sand", 2)
    found = compare_recordings(a, b)
    assert comparison_page(found).shape[-1] == 3
    data = json.loads(found.data)
    assert [one["name"] for one in data["words"]] == [one.name for one in found.changes]
    assert data["only_a"] == ["dog"] and data["words"][0]["difference"] == found.scale
    assert "Only in B’s prompt: sand." in found.report and len(LAYOUT.blocks) == 4
