"""In which sense a word was taken, as Prompt Report tells it."""

import json

import pytest
import torch
from planted import LEFT, RIGHT, planted
from synthetic import LAYOUT

from hrv_pack.hrv.heads.known_layouts import SD1
from hrv_pack.hrv.look.compare import concept_shares
from hrv_pack.hrv.relevance.vectors import HeadRelevance
from hrv_pack.hrv.report.evidence import examine
from hrv_pack.hrv.report.report import report
from hrv_pack.hrv.report.senses import Sense, doubtful_senses, senses_of


def relevance(rows) -> HeadRelevance:
    rows = torch.tensor(rows)
    names = ("Animals", "Vehicles", "Color")[: len(rows)]
    return HeadRelevance(names, rows * rows.shape[1] / rows.sum(1, keepdim=True), LAYOUT)


def mouse_and_car():
    """Of twelve heads the first four look at the mouse alone, the next four at both, the last four at neither."""
    kept = planted("a mouse and a car", {"mouse": LEFT, "car": RIGHT})
    e = kept[0].runs[0].entries[0]
    mouse, car = (e.prompt.recorded_columns.index(e.prompt.find(w).columns[0]) for w in ("mouse", "car"))
    for number, maps in e.maps.items():
        for head in range(maps.shape[2]):
            place = LAYOUT.offsets[number] + head
            maps[:, :, head, mouse] *= 2 if place < 8 else 0.5
            maps[:, :, head, car] *= 2 if 4 <= place < 8 else 0.5
    return kept


VECTORS = [[1.0] * 4 + [0.1] * 8, [0.1] * 4 + [1.0] * 4 + [0.1] * 4, [0.1] * 8 + [1.0] * 4]


def test_senses_are_the_shares_of_compare_concepts():
    kept, vectors = mouse_and_car(), relevance(VECTORS)
    (match,) = kept[0].match(kept[1])
    entries = match.run.of_role("positive")
    evidence = examine(match, entries, [entries[0].prompt], "words")
    senses = {sense.word: sense for sense in senses_of(match, evidence, vectors)}
    assert set(senses) == {"mouse", "car"} and all(sense.noun for sense in senses.values())
    for word, sense in senses.items():
        expected = concept_shares(
            match, evidence.targets[word], list(evidence.targets.values()), vectors, vectors.concepts
        )
        assert sense.shares == pytest.approx(expected, rel=1e-4)
        assert list(sense.shares.values()) == sorted(sense.shares.values(), reverse=True)
    assert "What each word was taken for" in report(*kept, vectors=vectors).markdown


@pytest.mark.parametrize(
    ("shares", "noun", "doubtful"),
    [
        ((0.45, 0.44, 0.11), True, True),
        ((0.45, 0.44, 0.11), False, False),
        ((0.6, 0.3, 0.1), True, False),
        ((0.12, 0.11, 0.11), True, False),  # many vague ones are no two senses
        ((0.51, 0.49), True, True),
    ],
)
def test_a_sense_is_doubtful_when_two_concepts_are_even_and_stand_out(shares, noun, doubtful):
    sense = Sense("mouse", dict(zip(("Animals", "Tools", "Color"), shares, strict=False)), noun)
    found = doubtful_senses([sense])
    assert bool(found) is doubtful
    if found:
        assert "Animals" in found[0].text and "Tools" in found[0].text and "Adjust Concept" in found[0].tip


def test_one_word_or_one_concept_has_no_sense_to_compare():
    assert (
        json.loads(report(*planted("cat", {}), vectors=relevance(VECTORS)).data)["pictures"][0]["senses"]
        == []
    )
    kept = planted("a cat", {})
    assert json.loads(report(*kept, vectors=relevance(VECTORS[:1])).data)["pictures"][0]["senses"] == []


def test_vectors_of_another_model_are_an_error():
    other = HeadRelevance(("A",), torch.ones(1, SD1.heads), SD1)
    with pytest.raises(ValueError, match="128"):
        report(*planted("a cat", {}), vectors=other)
