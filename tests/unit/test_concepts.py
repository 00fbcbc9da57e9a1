"""Concept words: the sets that the pack brings, and files and text of users."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

from hrv_pack.hrv.relevance.concepts import BadConcepts, parse_text, read

ROOT = Path(__file__).resolve().parents[2]
CONCEPTS = ROOT / "hrv_data" / "concepts"


def test_general_set_follows_the_published_concepts():
    general = read(CONCEPTS / "general.json")
    assert (
        list(general.concepts) == json.loads((ROOT / "hrv_data" / "catalogue.json").read_text())["concepts"]
    )
    assert {len(words) for words in general.words.values()} == {10}
    words = [word.casefold() for words in general.words.values() for word in words]
    assert len(set(words)) == len(words) == general.count == 340


def test_demo_set_covers_the_drawn_world():
    path = ROOT / "tools" / "train_demo" / "world.py"
    if not path.exists():
        pytest.skip("tools/train_demo is not in this copy")
    spec = importlib.util.spec_from_file_location("world", path)
    world = importlib.util.module_from_spec(spec)
    sys.modules["world"] = world
    spec.loader.exec_module(world)
    demo = read(CONCEPTS / "demo.json").words
    for concept, names in (
        ("Objects", world.KINDS),
        ("Colours", world.COLOURS),
        ("Patterns", world.PATTERNS),
        ("Sizes", world.SIZES),
        ("Backgrounds", world.BACKGROUNDS),
    ):
        meant = {next(piece for piece in word.split() if piece in names) for word in demo[concept]}
        assert meant == set(names)
    known = {piece for words in demo.values() for word in words for piece in word.split()}
    assert known <= set(world.WORDS)
    for word in world.TWO_SENSE:  # each sense is said in a way that can mean only that one
        phrases = [w for words in demo.values() for w in words if word in w.split()]
        assert len(phrases) == 2 and word not in phrases


def test_text_form_and_back():
    text = "Animals: fox, polar bear ,\n\n# a remark\nColour : red, navy blue # and another"
    words = parse_text(text)
    assert words.words == {"Animals": ("fox", "polar bear"), "Colour": ("red", "navy blue")}
    assert parse_text(words.to_text()) == words
    general = read(CONCEPTS / "general.json")
    assert parse_text(general.to_text()).words == general.words


def test_documented_examples_work(tmp_path):
    manual = (ROOT / "docs" / "concept_words.md").read_text(encoding="utf-8")
    file, text = re.search(r"```json\n(.*?)```.*?```\n(.*?)```", manual, re.DOTALL).groups()
    (tmp_path / "anything.json").write_text(file, encoding="utf-8")
    assert read(tmp_path / "anything.json").words == parse_text(text).words


def test_a_file_that_was_written_with_notepad(tmp_path):
    """Windows puts a mark before the text, and two signs at the end of a line."""
    (tmp_path / "mine.json").write_bytes(b"\xef\xbb\xbf" + document().replace(", ", ",\r\n").encode())
    assert read(tmp_path / "mine.json").words == {"A": ("x",), "B": ("y",)}


def document(**changes) -> str:
    whole = {"format": "hrv-concepts", "format_version": 1, "concepts": {"A": ["x"], "B": ["y"]}}
    return json.dumps({**whole, **changes})


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "not valid JSON: .* in line 1"),
        ("[]", "does not say"),
        (document(format="other"), "does not say"),
        (document(format_version=2), "format_version 2; 1 can be read"),
        (document(concepts=["A"]), "needs"),
        (document(concepts={"A": ["x"]}), "at least two concepts"),
        (document(concepts={"A": "x", "B": ["y"]}), "words of 'A' are not a list"),
        (document(concepts={"A": [], "B": ["y"]}), "'A' has 0 words"),
        (document(concepts={"A": [1], "B": ["y"]}), "'A' has a word that cannot be used: 1"),
        (document(concepts={"A": ["x", "X"], "B": ["y"]}), "'A' has the word 'X' twice"),
        (document(concepts={"A": ["x\n"], "B": ["y"]}), "cannot be used"),
        (document(concepts={"A": ["x"], "a": ["y"]}), "the concept 'a' is there twice"),
        (document(concepts={f"c{i}": ["x"] for i in range(1001)}), "1001 concepts; 1 to 1000"),
        ('{"format": 1, "format": 2}', "'format' is there twice"),
        ("[" * 100000, "nested too deeply"),
        (" " * 2**20 + "{}", "larger than"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, text, fault):
    path = tmp_path / "mine.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadConcepts, match=f"^mine.json: .*{fault}") as error:
        read(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 300
    with pytest.raises(BadConcepts, match="^gone.json: cannot be read"):
        read(tmp_path / "gone.json")


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "mine.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadConcepts, match="^mine.json: "):
        read(tmp_path / "mine.json")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "at least two concepts"),
        ("Animals cat", "Line 1 .* has no colon"),
        ("A: x\nA: y", "Line 2 .* 'A' again"),
        ("A: x\nB:", "'B' has 0 words"),
        (": x\nB: y", "a concept must be a name"),
    ],
)
def test_wrong_text_names_the_line(text, fault):
    with pytest.raises(BadConcepts, match=fault):
        parse_text(text)
