"""Which words of a prompt belong together."""

import pytest
from prompts import prompt

from hrv_pack.hrv.prompt import is_filler
from hrv_pack.hrv.prompt.phrases import chunk_of, filler_columns, phrases_of


def parsed(*chunks) -> list[str]:
    found = phrases_of(prompt(*chunks))
    return [" ".join([*(m.text for m in p.modifiers), p.noun.text.upper()]) for p in found]


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("a red fish and a striped blue car on grass", ["red FISH", "striped blue CAR", "GRASS"]),
        ("1girl , long hair , red dress", ["1GIRL", "long HAIR", "red DRESS"]),
        ("a cat sitting on a mat", ["CAT", "MAT"]),
        ("a flying bird", ["flying BIRD"]),
        ("oil painting of a house", ["oil PAINTING", "HOUSE"]),
        ("a woman wearing a red hat", ["WOMAN", "red HAT"]),
        ("the", []),
        ("", []),
        (",", []),
    ],
)
def test_phrases(text, phrases):
    assert parsed(text) == phrases


def test_a_new_chunk_is_a_new_phrase():
    assert parsed(["red"], ["fish"]) == ["RED", "FISH"]


def test_filler_columns_are_those_of_filler_words_and_punctuation():
    p = prompt("a red fish , and sand")
    assert filler_columns(p, p.words()) == [1, 4, 5]
    assert is_filler("The") and not is_filler("fish")


def test_chunks_are_counted_from_one():
    p = prompt("a b", "c")
    assert [chunk_of(p, column) for column in (0, 1, 76, 77, 78)] == [1, 1, 1, 2, 2]


def test_bare_places_are_told_from_things():
    places = {
        p.noun.text: p.is_place for p in phrases_of(prompt("a red fish in the snow on a green car , sand"))
    }
    assert places == {"fish": False, "snow": True, "car": False, "sand": False}
