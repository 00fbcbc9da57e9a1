"""Adding up head relevance: votes, agreement, and what cannot be added."""

import json

import pytest
import torch
from test_vectors import CONCEPTS, LAYOUT, build, random_votes

from hrv_pack.hrv.agreement_relevance import AgreementSums, sums_of
from hrv_pack.hrv.known_layouts import SD1
from hrv_pack.hrv.merging import merge
from hrv_pack.hrv.vectors import HeadRelevance, relevance_of


def test_merge_adds_votes_and_keeps_how_each_was_built():
    first, second = (
        build(0, construction=json.dumps({"seed": 0}), model="a"),
        build(1, model="b", construction="{}"),
    )
    merged = merge(merge(first, second), build(2, construction=json.dumps({"seed": 2}), model="a"))
    assert torch.equal(merged.votes, random_votes(0) + random_votes(1) + random_votes(2))
    assert torch.allclose(merged.relevance, relevance_of(merged.votes))
    assert json.loads(merged.metadata["construction"]) == {"merged": [{"seed": 0}, {}, {"seed": 2}]}
    assert merged.metadata["model"] == "a + b"


def test_merge_follows_names_not_rows():
    reverse = HeadRelevance.from_votes(CONCEPTS[::-1], random_votes(1).flip(0), LAYOUT, {})
    assert torch.equal(merge(build(0), reverse).votes, random_votes(0) + random_votes(1))


def test_merge_refuses_with_reasons():
    published = HeadRelevance(CONCEPTS, torch.ones(3, 5), LAYOUT)
    with pytest.raises(ValueError, match="second vectors hold no votes"):
        merge(build(), published)
    with pytest.raises(ValueError, match="the first are for 5 heads, the second for 128 heads .SD1."):
        merge(build(), HeadRelevance.from_votes(CONCEPTS, random_votes(0, SD1), SD1, {}))
    with pytest.raises(ValueError, match="Only the first have: Animals. Only the second have: Shape."):
        merge(build(), HeadRelevance.from_votes(("Shape", *CONCEPTS[1:]), random_votes(1), LAYOUT, {}))
    with pytest.raises(ValueError, match="exactly the same votes"):
        merge(build(3), build(3))


def agreed(seed: int, concepts=CONCEPTS) -> tuple[AgreementSums, HeadRelevance]:
    """Sums of a made-up build by agreement, and its vectors."""
    generator = torch.Generator().manual_seed(seed)
    sums = AgreementSums(
        torch.rand(len(concepts), 5, dtype=torch.float64, generator=generator) * (seed + 1),
        torch.randint(1, 9, (len(concepts),), generator=generator),
    )
    made = {"method": "agreement", "seed": seed, "agreement": sums.facts(concepts)}
    return sums, sums.vectors(concepts, LAYOUT, {"construction": json.dumps(made)})


def test_vectors_by_agreement_are_added_word_by_word():
    """However often they are merged, every word counts once: the plain sum of what each build counted."""
    (a, first), (b, second), (c, third) = agreed(0), agreed(1), agreed(2)
    merged = merge(merge(first, second), third)
    scores = [[sum(float(s.scores[row, n]) for s in (a, b, c)) for n in range(5)] for row in range(3)]
    for row, of_heads in enumerate(scores):
        expected = [5 * score / sum(of_heads) for score in of_heads]
        assert merged.relevance[row].tolist() == pytest.approx(expected, rel=1e-5)
    assert sums_of(merged).seen.tolist() == (a.seen + b.seen + c.seen).tolist()
    assert merged.votes is None and len(json.loads(merged.metadata["construction"])["merged"]) == 3


def test_concepts_in_another_order_are_added_by_name():
    (_, first), (_, second) = agreed(0), agreed(1)
    rows = [2, 0, 1]
    sums = sums_of(second)[rows]
    names = [CONCEPTS[row] for row in rows]
    turned = sums.vectors(names, LAYOUT, second.metadata)
    assert torch.allclose(merge(first, turned).relevance, merge(first, second).relevance, atol=1e-6)


def test_methods_do_not_mix():
    _, first = agreed(0)
    with pytest.raises(ValueError, match="One of these was built by agreement"):
        merge(first, build())
    with pytest.raises(ValueError, match="exactly the same scores"):
        merge(first, first)
