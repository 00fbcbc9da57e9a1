"""Scores that were measured beside the pack's own, against plain sums."""

import sys

import pytest
import torch
from prompts import prompt
from synthetic import CONCEPTS, LAYOUT, entry, match, vectors

from devtools.setup import ROOT
from hrv_pack.hrv.look.compare import shares_of
from hrv_pack.hrv.maps.lookup import find_word, targets_of_unit
from hrv_pack.hrv.relevance.concept_scores import WordEvidence, leanings
from hrv_pack.hrv.relevance.vectors import HeadRelevance

sys.path.append(str(ROOT / "benchmarks"))
from truth_candidates import SCORES, Evidence, evidence_of  # noqa: E402

PROMPT = prompt("a grey mouse on a desk")
HEADS = LAYOUT.heads


def plain_evidence(word: str):
    """Everything the scores read, as nested lists of head numbers and plain means."""
    e = entry(PROMPT)
    targets = targets_of_unit([e], [PROMPT], "words")
    target = find_word(word, [e], [PROMPT])
    evidence = evidence_of(match(e), target, list(targets.values()), vectors(), list(CONCEPTS), 23.0)
    heads = [vectors().select(name, 23.0).weights.nonzero().flatten().tolist() for name in CONCEPTS]
    return evidence, heads


def test_scores_are_what_their_formulas_say():
    evidence, heads = plain_evidence("mouse")
    every = list(range(HEADS))
    word = [float(m.mean()) for m in evidence.word]
    usual = [float(m.mean()) for m in evidence.usual]

    def mean(values, numbers):
        return sum(values[n] for n in numbers) / len(numbers)

    def span(maps, numbers):
        one = sum(maps[n] for n in numbers) / len(numbers)
        return float(one.max() - one.min())

    def plain(numbers):
        ratio = [w / u for w, u in zip(word, usual, strict=True)]
        among = (mean(word, numbers) / mean(usual, numbers)) / (mean(word, every) / mean(usual, every))
        own = span(evidence.word, numbers) / span(evidence.usual, numbers)
        return {
            "level": mean(word, numbers) / mean(word, every),
            "level_among_words": among,
            "preference": mean(ratio, numbers) / mean(ratio, every),
            "peak": span(evidence.word, numbers) / span(evidence.word, every),
            "peak_among_words": own / (span(evidence.word, every) / span(evidence.usual, every)),
        }

    expected = [plain(numbers) for numbers in heads]
    for name in expected[0]:
        assert SCORES[name](evidence).tolist() == pytest.approx([e[name] for e in expected], rel=1e-4), name


def test_usual_is_the_mean_over_all_tokens_of_the_prompt():
    evidence, _ = plain_evidence("grey mouse")
    maps = [
        plain_evidence(name)[0].word for name in ("a", "grey", "mouse", "on", "desk")
    ]  # “a” stands twice and is the mean of both
    expected = (2 * maps[0] + sum(maps[1:])) / 6
    assert (evidence.usual - expected).abs().max() < 1e-6


def painting(word: torch.Tensor, usual: torch.Tensor) -> WordEvidence:
    relevance = torch.full((2, HEADS), 0.5)
    relevance[0, :3], relevance[1, 6:9] = 3.0, 3.0
    relevance *= HEADS / relevance.sum(1, keepdim=True)
    leaning = leanings(HeadRelevance(("A", "B"), relevance, LAYOUT), ["A", "B"])
    return WordEvidence(*(maps.flatten(1).std(1, correction=0) for maps in (word, usual)), leaning)


def made_up(spots: dict[int, float]) -> Evidence:
    """Twelve heads that look at all words alike, but for these, which look at the word so much more."""
    usual = torch.full((HEADS, 6, 6), 0.1)
    usual[:, 2:4, 2:4] += 0.05
    word = usual.clone()
    for head, factor in spots.items():
        word[head] *= factor
    chosen = torch.zeros(2, HEADS)
    chosen[0, :3], chosen[1, 6:9] = 1 / 3, 1 / 3
    return Evidence(word, usual, chosen, painting(word, usual))


@pytest.mark.parametrize("name", [name for name in SCORES if name != "focus"])
def test_the_concept_whose_heads_look_at_the_word_scores_higher(name):
    first, second = SCORES[name](made_up({0: 3.0, 2: 2.0})).tolist()
    assert first > second
    first, second = SCORES[name](made_up({7: 3.0})).tolist()
    assert first < second


def test_the_concept_whose_map_is_more_compact_has_more_focus():
    evidence = made_up({})
    evidence.word[:3, :, :] = 0.1
    evidence.word[:3, 2, 2] = 0.5
    first, second = SCORES["focus"](evidence).tolist()
    assert first > second


@pytest.mark.parametrize("name", SCORES)
def test_words_that_got_nothing_give_finite_scores(name):
    evidence = made_up({})
    for word, usual in ((0.0, 0.0), (0.0, 0.1), (0.1, 0.1)):
        maps = torch.full_like(evidence.word, word), torch.full_like(evidence.usual, usual)
        empty = Evidence(*maps, evidence.chosen, painting(*maps))
        scores = SCORES[name](empty)
        assert scores.isfinite().all() and (scores >= 0).all()
        assert sum(shares_of(scores)) == pytest.approx(1)
