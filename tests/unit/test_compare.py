"""Which concept a word was drawn as: scores against plain sums, shares, verdicts and the picture."""

import math

import pytest
import torch
from prompts import prompt
from synthetic import CONCEPTS, LAYOUT, entry, match, run_of, vectors

from hrv_pack.hrv.look import compare as module
from hrv_pack.hrv.look.compare import compare, evidence_of, named_concepts, shares_of, verdict
from hrv_pack.hrv.maps.bicubic import resize
from hrv_pack.hrv.maps.head_maps import head_spreads
from hrv_pack.hrv.maps.lookup import find_word, targets_of_unit
from hrv_pack.hrv.maps.mask import threshold_mask
from hrv_pack.hrv.maps.word_maps import Target, word_maps
from hrv_pack.hrv.recording.recording import Recording
from hrv_pack.hrv.relevance.concept_scores import WordEvidence, leanings, painted
from hrv_pack.hrv.relevance.vectors import HeadRelevance

PROMPT = prompt("a grey mouse on a desk")
HEADS = LAYOUT.heads


def targets_of(text: str, word: str, **more):
    """(match, target, all words) of a made-up recording."""
    p = prompt(text)
    e = entry(p, **more)
    return match(e), find_word(word, [e], [p]), list(targets_of_unit([e], [p], "words").values())


def plain_spread(one, target: Target) -> list[float]:
    """The standard deviation of each head's map on the grid it was recorded on, for a target of one conditioning."""
    ((e, columns),) = target.places
    spreads = []
    for number, maps in e.maps.items():
        for head in range(LAYOUT.blocks[number].heads):
            mean = sum(maps[one.element, :, head, e.columns.index(c)].float().sum(0) for c in columns) / len(
                columns
            )
            values = (mean / sum(e.counts)).flatten().tolist()
            middle = sum(values) / len(values)
            spreads.append(math.sqrt(sum((v - middle) ** 2 for v in values) / len(values)))
    return spreads


@pytest.mark.parametrize("word", ["mouse", "grey mouse", "a"])
def test_the_score_is_what_its_formula_says(word):
    one, target, words = targets_of("a grey mouse on a desk", word, counts=(3, 2))
    found = painted(evidence_of(one, target, words, vectors(), ["Color", "Animals"]))
    spreads = [plain_spread(one, each) for each in words]
    usual = [sum(each[n] for each in spreads) for n in range(HEADS)]
    own = plain_spread(one, target)
    for score, concept in zip(found.tolist(), ("Color", "Animals"), strict=True):
        total = 0.0
        for n in range(HEADS):
            relevance = {name: float(vectors().of(name)[n]) for name in CONCEPTS}
            share = relevance[concept] / sum(relevance.values())
            total += (own[n] / sum(own) - usual[n] / sum(usual)) * math.log(share + 1 / 6)
        assert score == pytest.approx(math.exp(total), rel=1e-4)


def made_up(spots: dict[int, float]) -> WordEvidence:
    """Twelve heads that paint all words alike, but for these, which paint the word so much more; three lean to each concept."""
    relevance = torch.full((2, HEADS), 0.5)
    relevance[0, :3], relevance[1, 6:9] = 3.0, 3.0
    relevance *= HEADS / relevance.sum(1, keepdim=True)
    word = torch.tensor([spots.get(head, 1.0) for head in range(HEADS)])
    return WordEvidence(
        word, torch.ones(HEADS), leanings(HeadRelevance(("A", "B"), relevance, LAYOUT), ["A", "B"])
    )


def test_the_concept_whose_heads_paint_the_word_scores_higher():
    first, second = painted(made_up({0: 3.0, 2: 2.0})).tolist()
    assert first > 1 > second
    first, second = painted(made_up({7: 3.0})).tolist()
    assert first < second
    assert painted(made_up({})).tolist() == pytest.approx([1, 1])


def test_heads_without_relevance_and_words_that_got_nothing_tell_nothing():
    silent = torch.zeros(2, HEADS)
    silent[:, 0] = HEADS
    evidence = WordEvidence(
        torch.rand(HEADS), torch.ones(HEADS), leanings(HeadRelevance(("A", "B"), silent, LAYOUT), ["B", "A"])
    )
    first, second = painted(evidence).tolist()
    assert first == pytest.approx(second)
    empty = WordEvidence(torch.zeros(HEADS), torch.zeros(HEADS), made_up({}).leaning)
    assert painted(empty).tolist() == [1, 1] and shares_of(painted(empty)) == [0.5, 0.5]


def test_a_layer_that_one_of_the_prompts_lacks_is_no_evidence():
    p, q = prompt("a grey mouse"), prompt("a mouse")
    first, second = entry(p), entry(q, index=1, seed=4)
    del second.maps[1]
    target = find_word("mouse", [first, second], [p, q])
    spreads = head_spreads(match(first, second), target)
    assert (spreads[LAYOUT.span(1)] == 0).all() and (spreads > 0).sum() == HEADS - 2
    both = (first.maps[0][0, 0, 0, 3] / 5 + second.maps[0][0, 0, 0, 2] / 5).float() / 2
    assert float(spreads[0]) == pytest.approx(float(both.std(correction=0)), rel=1e-3)


def test_shares_keep_the_order_and_add_up_to_one():
    shares = shares_of(torch.tensor([1.2, 0.9, 0.0]))
    assert sum(shares) == pytest.approx(1) and shares[0] > shares[1] > shares[2] == 0
    assert shares[0] / shares[1] == pytest.approx((1.2 / 0.9) ** module.SHARPNESS, rel=1e-4)
    assert shares_of(torch.zeros(4)) == [0.25] * 4


def test_verdicts_in_words():
    assert verdict("mouse", {"Electronics": 0.29, "Animals": 0.71}) == (
        "mouse: 0.71 Animals, 0.29 Electronics: the model drew it as Animals"
    )
    assert verdict(" mouse ", {"Animals": 0.52, "Electronics": 0.48}) == (
        "mouse: 0.52 Animals, 0.48 Electronics: doubtful, Animals and Electronics are nearly even"
    )
    many = {f"c{n}": 0.02 for n in range(10)} | {"Animals": 0.8}
    assert verdict("mouse", many).startswith(
        "mouse: 0.80 Animals, 0.02 c0, 0.02 c1, 0.02 c2 and 7 more: the model"
    )


def studio(batch=1):
    e = entry(PROMPT, batch=batch)
    latent = torch.arange(batch * 4 * 8 * 12, dtype=torch.float32).view(batch, 4, 8, 12)
    recording = Recording(LAYOUT, 2**30)
    recording.add(run_of(latent, e))
    return e, latent, recording


def test_masks_are_those_of_each_concepts_heads():
    e, latent, recording = studio()
    found = compare(recording, latent, "mouse", vectors(), "electronics, Animals")
    assert found.masks.shape == (2, 64, 96)
    target = Target(((e, PROMPT.find("mouse").columns),))
    for mask, name in zip(found.masks, ("Electronics", "Animals"), strict=True):
        maps = resize(word_maps(match(e), [target], vectors().select(name, 23.0)), (64, 96))
        assert torch.equal(mask, threshold_mask(maps, 0.4)[0])
    assert list(found.shares[0]) == ["Electronics", "Animals"]
    assert sum(found.shares[0].values()) == pytest.approx(1)
    assert found.grid.ndim == 4 and 0 <= found.grid.min() and found.grid.max() <= 1


def test_a_batch_has_a_row_and_a_line_for_each_picture():
    _, latent, recording = studio(batch=2)
    found = compare(recording, latent, "mouse", vectors(), image=torch.rand(2, 40, 60, 3))
    assert found.masks.shape == (6, 40, 60) and len(found.grid) == 2 and len(found.shares) == 2
    first, second = found.verdict.split("\n")
    assert first.startswith("image 1: mouse: ") and second.startswith("image 2: mouse: ")
    assert not found.warnings


def test_many_concepts_wrap_into_rows():
    votes = torch.randint(0, 50, (34, HEADS), generator=torch.Generator().manual_seed(0))
    many = HeadRelevance.from_votes(tuple(f"Concept {n}" for n in range(34)), votes, LAYOUT, {})
    _, latent, recording = studio()
    found = compare(recording, latent, "mouse", many, image=torch.rand(1, 600, 900, 3))
    assert found.masks.shape[0] == 34 and found.grid.shape[2] < 1700


def test_a_prompt_of_one_word_is_told_to_have_more():
    e = entry(prompt("mouse"))
    latent = torch.zeros(1, 4, 8, 12)
    recording = Recording(LAYOUT, 2**30)
    recording.add(run_of(latent, e))
    found = compare(recording, latent, "mouse", vectors())
    assert found.shares[0] == pytest.approx(dict.fromkeys(CONCEPTS, 1 / 3)) and "doubtful" in found.verdict
    assert found.warnings == [module.LONELY]


def test_vectors_for_masks_are_named_as_such():
    _, latent, recording = studio()
    built = HeadRelevance(
        CONCEPTS, vectors().relevance, LAYOUT, None, {"construction": '{"method": "agreement"}'}
    )
    assert compare(recording, latent, "mouse", built).warnings == [module.FOR_MASKS]


def test_what_cannot_be_compared_says_why():
    _, latent, recording = studio()
    with pytest.raises(
        ValueError, match="Only Animals is named.*needs at least two.*Animals, Electronics, Color"
    ):
        compare(recording, latent, "mouse", vectors(), "animals, Animals")
    alone = HeadRelevance(("Animals",), torch.ones(1, HEADS), LAYOUT)
    with pytest.raises(
        ValueError, match="These vectors have only one concept, Animals; .*needs at least two"
    ):
        compare(recording, latent, "mouse", alone)
    with pytest.raises(ValueError, match="no concept “Animal”"):
        compare(recording, latent, "mouse", vectors(), "Animal, Color")
    with pytest.raises(ValueError, match="“cat” is not in the prompt"):
        compare(recording, latent, "cat", vectors())
    assert named_concepts(vectors(), "") == list(CONCEPTS)
