"""Head relevance by agreement: what is added up, what is read back, which words count."""

import json

import pytest
import torch
from prompts import prompt
from synthetic import LAYOUT, entry, match

from hrv_pack.hrv.files.vector_files import read, write
from hrv_pack.hrv.heads.known_layouts import SD1
from hrv_pack.hrv.maps.lookup import find_word
from hrv_pack.hrv.recording.recording import NoRecording
from hrv_pack.hrv.relevance import agreement as agreement_relevance
from hrv_pack.hrv.relevance.agreement import AgreementCounter, AgreementSums
from hrv_pack.hrv.relevance.concepts import ConceptWords
from hrv_pack.hrv.relevance.heads_for_word import compared_maps, scores_of_heads
from hrv_pack.hrv.relevance.summary import vectors_in_words
from hrv_pack.hrv.relevance.vectors import HeadRelevance

WORDS = ConceptWords(
    "three",
    {
        "Animals": ("cat", "polar bear", "dog"),
        "Colour": ("red", "navy blue", "orange"),
        "Fruit": ("an orange",),
    },
)


def scores_of(picture, word: str) -> list[float]:
    entries = picture.run.of_role("positive")
    target = find_word(word, entries, [one.prompt for one in entries])
    return scores_of_heads(compared_maps(picture, target)).tolist()


def test_relevance_is_the_mean_of_positive_scores_of_the_concepts_words():
    """Against the scores of heads by agreement, which are checked against plain loops: two pictures, three words of two concepts."""
    pictures = [
        match(entry(prompt("a red cat and a dog"), seed=1)),
        match(entry(prompt("a polar bear , red"), seed=2)),
    ]
    counter = AgreementCounter(LAYOUT, WORDS)
    assert [counter.add(picture) for picture in pictures] == [3, 2]
    expected = {"Animals": [(0, "cat"), (0, "dog"), (1, "polar bear")], "Colour": [(0, "red"), (1, "red")]}
    vectors = counter.sums.vectors(WORDS.concepts, LAYOUT, {})
    assert counter.sums.seen.tolist() == [3, 2, 0]
    for concept, found in expected.items():
        scores = [scores_of(pictures[number], word) for number, word in found]
        mean = [sum(max(0.0, score[n]) for score in scores) / len(found) for n in range(LAYOUT.heads)]
        plain = [LAYOUT.heads * value / sum(mean) for value in mean]
        assert vectors.of(concept).tolist() == pytest.approx(plain, rel=1e-5)
    assert vectors.of("Fruit").tolist() == [1.0] * LAYOUT.heads
    assert vectors.relevance.sum(1).tolist() == pytest.approx([LAYOUT.heads] * 3)


def test_words_that_two_concepts_share_tell_nothing():
    telling = agreement_relevance.telling_words(WORDS)
    assert telling == {"Animals": ("cat", "polar bear", "dog"), "Colour": ("red", "navy blue"), "Fruit": ()}


def test_words_are_found_as_wholes_and_once():
    telling = agreement_relevance.telling_words(WORDS)
    found = agreement_relevance.words_in([prompt("Cat|s red , cow|boy red"), None], telling)
    assert found == {"Animals": [], "Colour": ["red"], "Fruit": []}
    found = agreement_relevance.words_in([prompt("a cat"), prompt("two polar bear , navy blue")], telling)
    assert found == {"Animals": ["cat", "polar bear"], "Colour": ["navy blue"], "Fruit": []}


def test_concepts_that_prompts_hardly_name_get_prompts_of_their_own(monkeypatch):
    monkeypatch.setattr(agreement_relevance, "FEW", 2)
    more = agreement_relevance.words_to_draw([prompt("a cat and a dog"), prompt("a red cat")], WORDS)
    assert more == ["a picture of red", "a picture of navy blue"]  # a single word of Colour was there


def test_a_picture_without_a_known_prompt_or_maps_is_refused():
    counter = AgreementCounter(LAYOUT, WORDS)
    with pytest.raises(NoRecording):
        counter.add(match(entry(None)))
    with pytest.raises(NoRecording):
        counter.add(match(entry(prompt("a cat"), role="negative")))


def built(seed=0) -> tuple[AgreementSums, HeadRelevance]:
    scores = torch.rand(3, LAYOUT.heads, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    sums = AgreementSums(scores * torch.tensor([[3.0], [2.0], [0.0]]), torch.tensor([3, 2, 0]))
    made = {"method": "agreement", "agreement": sums.facts(WORDS.concepts)}
    return sums, sums.vectors(WORDS.concepts, LAYOUT, {"construction": json.dumps(made), "title": "mine"})


def test_the_file_holds_what_can_be_added_to(tmp_path):
    sums, vectors = built()
    write(tmp_path / "a.safetensors", vectors)
    again = read(tmp_path / "a.safetensors")
    assert again.votes is None and torch.equal(again.relevance, vectors.relevance)
    found = agreement_relevance.sums_of(again)
    assert torch.allclose(found.scores, sums.scores, rtol=1e-6) and found.seen.tolist() == [3, 2, 0]
    assert "By agreement, from 5 words" in vectors_in_words(again)
    assert (
        again.select("Animals", 23.0).weights > 0
    ).sum() == 3  # every node takes them as any other vectors


@pytest.mark.parametrize(
    "facts",
    [
        None,
        {"Animals": [3, 1.0]},
        {**dict.fromkeys(WORDS.concepts, [3, 1.0]), "Fruit": [-1, 1.0]},
        {**dict.fromkeys(WORDS.concepts, [3, 1.0]), "Fruit": ["3", 1.0]},
        {**dict.fromkeys(WORDS.concepts, [3, 1.0]), "Fruit": [3, float("inf")]},
        {**dict.fromkeys(WORDS.concepts, [3, 1.0]), "Fruit": 3},
    ],
)
def test_a_construction_that_does_not_say_enough_is_refused(facts):
    _, vectors = built()
    made = json.dumps({"method": "agreement", "agreement": facts})
    damaged = HeadRelevance(vectors.concepts, vectors.relevance, LAYOUT, None, {"construction": made})
    with pytest.raises(ValueError, match="does not say how many words of (Animals|Colour|Fruit)"):
        agreement_relevance.sums_of(damaged)
    assert "Concepts: Animals" in vectors_in_words(damaged)


def test_other_vectors_are_told_from_them():
    published = HeadRelevance(WORDS.concepts, torch.ones(3, 128), SD1)
    votes = HeadRelevance.from_votes(
        WORDS.concepts,
        torch.ones(3, 128, dtype=torch.int64),
        SD1,
        {"construction": '{"merged": [{"seed": 1}]}'},
    )
    for vectors in (published, votes):
        assert not agreement_relevance.is_agreement(vectors)
        with pytest.raises(ValueError, match="not built by agreement"):
            agreement_relevance.sums_of(vectors)
