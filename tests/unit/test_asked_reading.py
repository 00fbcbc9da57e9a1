"""Reading words that are not in the prompt: listed behind it, and outside of its scale."""

from dataclasses import replace

import pytest
import torch
from planted import LEFT, MIDDLE, RIGHT, blob, entry, recording
from prompts import prompt
from test_lens import unpack

from hrv_pack.hrv.look.heatmap import Style, heatmaps
from hrv_pack.hrv.look.lens import look
from hrv_pack.hrv.maps.lookup import find_in_run
from hrv_pack.hrv.prompt import WordNotFound
from hrv_pack.hrv.recording.recording import ASKED
from hrv_pack.hrv.relevance.best_maps import ALL, BEST

LOUD = blob(4, 4, level=0.9)  # louder than anything in the prompt


def made(**more):
    own = entry(prompt("a cat and a dog"), {"cat": LEFT, "dog": RIGHT})
    asked = entry(
        prompt("tree , cat , cowboy hat", text="tree, cat, cowboy hat"),
        {"tree": LOUD, "cowboy hat": MIDDLE},
        **more,
    )
    return recording(own, replace(asked, role=ASKED))


def test_they_come_last_and_do_not_set_the_scale():
    r, x, image = made()
    found = heatmaps(r, x, style=Style(caption=False))
    assert found.words == ["cat", "dog", "tree", "cowboy hat"]  # the cat is in the prompt
    assert found.names[-2:] == ["tree", "cowboy hat"]
    assert [tile["asked"] for tile in found.panel["tiles"]] == [False, False, True, True]
    assert found.panel["peaks"] == [pytest.approx(0.3, abs=1e-3)] and found.heat.amax((1, 2)).tolist() == [
        1,
        1,
        1,
        1,
    ]
    assert found.panel["tiles"][2]["value"] == pytest.approx(0.9, abs=1e-3)
    one = heatmaps(r, x, "tree", style=Style(caption=False))
    assert torch.equal(one.heat[0], found.heat[2]) and torch.equal(one.mask[0], found.mask[2])
    said = heatmaps(r, x, "hat", maps=BEST)
    assert said.words == ["hat"] and said.panel["tiles"][0]["asked"]


def test_the_lens_keeps_them_out_of_what_places_are_told_by():
    r, x, image = made()
    for maps in (ALL, BEST):
        found = look(r, x, image, words="tree", maps=maps)
        (frame,) = found.payload["frames"]
        asked = [frame["names"].index(name) for name in ("tree", "cowboy hat")]
        assert frame["asked"] == asked and len(frame["names"]) == 7
        own = unpack(frame, 7)
        answer = found.lens.answer(0, asked)
        assert answer["high"] == [frame["high"][place] for place in asked]
        for place, pixel, value in zip(asked, (4, 8), (0.9, 0.3), strict=True):
            around = own[place, pixel - 2 : pixel + 3, pixel - 2 : pixel + 3]
            assert around.max() == own[place].max() == pytest.approx(value, abs=5e-3)
        without = look(*recording(entry(prompt("a cat and a dog"), {"cat": LEFT, "dog": RIGHT})), maps=maps)
        (plain,) = without.payload["frames"]
        assert (
            frame["high"][:5] == plain["high"] and frame["low"][:5] == plain["low"] and plain["asked"] == []
        )


def test_a_name_means_the_prompt_first_and_an_unknown_one_is_told_of_the_prompt():
    r, x, _ = made()
    (run,) = r.runs
    own = run.of_role("positive")
    prompts = [one.prompt for one in own]
    assert find_in_run("cat", run, own, prompts).places[0][0] is own[0]
    assert find_in_run("Cowboy  hat", run, own, prompts).places[0][0].role == ASKED
    with pytest.raises(WordNotFound, match="“bird” is not in the prompt"):
        find_in_run("bird", run, own, prompts)
    with pytest.raises(WordNotFound):
        heatmaps(r, x, "bird")
