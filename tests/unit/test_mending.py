"""benchmarks/mending*.py: what counts as a wish granted, as spoiled and as mended; prompts of the two sets differ."""

import sys

import numpy as np
import pytest

from devtools.setup import ROOT

sys.path.append(str(ROOT / "benchmarks"))
import mending  # noqa: E402
from mending_cases import PARTS, Wish, wishes  # noqa: E402
from mending_studio import EXCITE, Treatment  # noqa: E402

RED_STAR = {"kind": "star", "colour": "red", "pattern": "plain", "size": "small", "background": "sand"}
BLUE_FISH = {"kind": "fish", "colour": "blue", "pattern": "plain", "size": "small", "background": "sand"}
BOTH = Wish(
    "a red star and a blue fish", ("star", "fish"), "both things", "Objects", None,
    ((0, "kind", "star"), (1, "kind", "fish")), (), ((0, "colour", "red"), (1, "colour", "blue")), things=2,
)  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_a_picture_as_asked_grants_the_wish_and_spoils_nothing(part):
    for choosing in (True, False):
        some = wishes(part, 12, choosing, np.random.default_rng(1))
        assert some == wishes(part, 12, choosing, np.random.default_rng(1))
        for wish in some:
            seen = [dict.fromkeys(RED_STAR, "?") for _ in range(wish.things)]
            for thing, question, answer in (*wish.asked, *wish.kept):
                seen[thing][question] = answer
            assert wish.granted(tuple(seen)) and wish.spoiled(tuple(seen)) == 0
            thing, question, answer = wish.asked[0]
            assert answer in wish.text and all(word in wish.text for word in wish.words)
            assert not {(t, q) for t, q, _ in wish.asked} & {(t, q) for t, q, _ in wish.kept}
            seen[thing] = {**seen[thing], question: "another"}
            assert not wish.granted(tuple(seen))


def test_both_senses_are_wished_for_and_the_other_sense_is_not_granted():
    some = wishes("senses", 6, False, np.random.default_rng(1))
    assert [wish.sort for wish in some] == ["the thing", "the colour"] * 3
    for thing, colour in zip(some[::2], some[1::2], strict=True):
        (word,) = colour.words
        place = colour.kept[0][2]
        pink_rose = {"kind": word, "colour": word, "background": place}
        assert not colour.granted((pink_rose,)) and colour.granted(({**pink_rose, "kind": "fish"},))
        (word,) = thing.words
        assert thing.granted(({"kind": word, "colour": "red", "background": place},))


def test_places_of_two_sense_words_differ_between_the_sets():
    places = [
        {wish.kept[0][2] for wish in wishes("senses", 40, choosing, np.random.default_rng(1))}
        for choosing in (True, False)
    ]
    assert not places[0] & places[1]


def test_what_is_missing_and_what_is_spoiled():
    assert BOTH.absent((RED_STAR, BLUE_FISH)) == () and BOTH.granted((RED_STAR, BLUE_FISH))
    assert BOTH.absent((BLUE_FISH, BLUE_FISH)) == ("star",) and BOTH.spoiled((BLUE_FISH, BLUE_FISH)) == 0.5
    assert BOTH.absent((BLUE_FISH, RED_STAR)) == ("star", "fish") and BOTH.spoiled((BLUE_FISH, RED_STAR)) == 1


def test_only_the_missing_noun_is_strengthened_and_all_nouns_are_excited():
    before = [(RED_STAR, BLUE_FISH), (BLUE_FISH, BLUE_FISH), (RED_STAR, RED_STAR), (BLUE_FISH, BLUE_FISH)]
    steered = Treatment("relevance", "votes", 1.0)
    assert mending.groups_of("missing", steered, BOTH, before) == {("star",): (1, 3), ("fish",): (2,)}
    excited = Treatment(EXCITE, "", 1.0)
    assert mending.groups_of("missing", excited, BOTH, before) == {("star", "fish"): (1, 2, 3)}
    assert mending.groups_of("lost", steered, BOTH, before) == {("star", "fish"): (0, 1, 2, 3)}


def test_figures():
    """One mended with a spoiled colour, one lost, one right and untreated, one wrong as before."""
    right, wrong = (RED_STAR, BLUE_FISH), (RED_STAR, RED_STAR)
    green = (RED_STAR, {**BLUE_FISH, "colour": "green"})
    found = [
        mending.Picture(BOTH, wrong, green, True), mending.Picture(BOTH, right, wrong, True),
        mending.Picture(BOTH, right, right, False), mending.Picture(BOTH, wrong, wrong, True),
    ]  # fmt: skip
    assert mending.gain(found) == pytest.approx(-0.5 / 4)  # one colour of two, in one picture of four
    granted, change, mended, lost, error = mending.row(found)
    assert granted == "50.0% → 50.0%" and change.startswith("+0.0% ± 69.3%")
    assert (mended, lost) == ("1 of 2", "1 of 1")
    assert error == "33.3% → 50.0%"
    assert "–" in mending.row(found[2:3])
