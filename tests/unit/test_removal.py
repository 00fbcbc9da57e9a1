"""A word taken out of the typed text, or exchanged, with the rest left as it was."""

import json
from pathlib import Path

import pytest

from hrv_pack.hrv.effect.words import typed_words
from hrv_pack.hrv.prompt.removal import without
from hrv_pack.hrv.prompt.typed_text import parse

PROMPTS = [
    e["typed"]
    for e in json.loads((Path(__file__).parents[1] / "data" / "typed_prompts.json").read_text("utf-8"))
]
STAR = r"a (red star:1.3), 2girls, tracer_\(overwatch\), sand"


def left(typed: str, name: str, kind: str = "words", instead: str = "") -> str:
    text = parse(typed)
    return without(text, [[part] for part in getattr(text, kind) if text.name(part) == name], instead)


@pytest.mark.parametrize(
    ("typed", "name", "kind", "expected"),
    [
        ("a red fish", "red", "words", "a fish"),
        (STAR, "red", "words", r"a (star:1.3), 2girls, tracer_\(overwatch\), sand"),
        (STAR, "a red star", "tags", r"2girls, tracer_\(overwatch\), sand"),
        (STAR, "tracer_(overwatch)", "tags", "a (red star:1.3), 2girls, sand"),
        (STAR, "sand", "words", r"a (red star:1.3), 2girls, tracer_\(overwatch\)"),
        ("((cat)), dog", "cat", "words", "dog"),
        ("(cat, dog:1.3), fish", "cat", "words", "(dog:1.3), fish"),
        ("(x:nan), y", "x", "words", "y"),
        ("cat\nbig dog", "cat", "words", "big dog"),
        ("cat", "cat", "words", ""),
        ("a red, red fish", "red", "words", "a, fish"),  # every occurrence that is given
    ],
)
def test_a_word_goes_with_its_weight_and_its_comma(typed, name, kind, expected):
    assert left(typed, name, kind) == expected


def test_another_word_in_its_place_takes_its_weight():
    assert left("a (red:1.3) fish", "red", instead="striped blue") == "a (striped blue:1.3) fish"
    assert left(r"tracer \(overwatch\), sand", "tracer (overwatch)", "tags", "a cat") == "a cat, sand"


@pytest.mark.parametrize("kind", ["words", "tags"])
def test_what_is_left_has_all_other_words(kind):
    """Every word and tag of the prompts that the grammar is tested with. A few odd ones change what stands beside them: a word that
    was cut by a weight, brackets that do not pair."""
    odd = total = 0
    for typed in PROMPTS:
        text = parse(typed)
        for number, part in enumerate(getattr(text, kind)[:300]):
            after = parse(without(text, [[part]]))
            names = [text.name(other) for other in getattr(text, kind)]
            del names[number]
            odd += [after.name(other) for other in getattr(after, kind)] != names
            total += 1
    assert total > 400 and odd <= 0.015 * total


def test_words_of_several_texts():
    words = typed_words(["a red star, sand", "good, a (red fish:1.2)", "a red star, sand"])
    assert words.texts == ("a red star, sand", "good, a (red fish:1.2)")
    assert [word.text for word in words.prompt.words()] == ["a", "red", "star", "sand", "good", "fish"]
    red = words.prompt.find("red").columns
    assert words.without(red) == {
        "a red star, sand": "a star, sand",
        "good, a (red fish:1.2)": "good, a (fish:1.2)",
    }
    star = words.prompt.find("red star").columns
    assert words.without(star, "blue car")["a red star, sand"] == "a blue car, sand"
    assert words.without(range(len(words.places))) == dict.fromkeys(words.texts, "")
    assert typed_words([""]).prompt.words() == []
