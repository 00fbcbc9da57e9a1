"""Which concept a word was drawn as: scores against plain sums, shares, verdicts and the picture."""

import pytest
import torch
from prompts import prompt
from synthetic import LAYOUT, entry, match, run_of

from hrv_pack.hrv import compare as module
from hrv_pack.hrv.compare import compare, evidence_of, named_concepts, shares_of, verdict
from hrv_pack.hrv.concept_scores import SCORES, WordEvidence
from hrv_pack.hrv.maps import Target, resize, threshold_mask, word_maps
from hrv_pack.hrv.reading import find_word, targets_of_unit
from hrv_pack.hrv.recording import Recording
from hrv_pack.hrv.vectors import HeadRelevance

PROMPT = prompt("a grey mouse on a desk")
CONCEPTS = ("Animals", "Electronics", "Color")
HEADS = LAYOUT.heads


def vectors(seed=0):
    votes = torch.randint(0, 50, (3, HEADS), generator=torch.Generator().manual_seed(seed))
    return HeadRelevance.from_votes(CONCEPTS, votes, LAYOUT, {})


def plain_evidence(word: str):
    """Everything the scores read, as nested lists of head numbers and plain means."""
    e = entry(PROMPT)
    targets = targets_of_unit([e], [PROMPT], "words")
    target = find_word(word, [e], [PROMPT])
    evidence = evidence_of(match(e), target, list(targets.values()), vectors(), CONCEPTS, 23.0)
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


def made_up(spots: dict[int, float]) -> WordEvidence:
    """Twelve heads that look at all words alike, but for these, which look at the word so much more."""
    usual = torch.full((HEADS, 6, 6), 0.1)
    usual[:, 2:4, 2:4] += 0.05
    word = usual.clone()
    for head, factor in spots.items():
        word[head] *= factor
    chosen = torch.zeros(2, HEADS)
    chosen[0, :3], chosen[1, 6:9] = 1 / 3, 1 / 3
    return WordEvidence(word, usual, chosen, torch.ones(HEADS, dtype=torch.bool))


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
        empty = WordEvidence(
            torch.full_like(evidence.word, word),
            torch.full_like(evidence.usual, usual),
            evidence.chosen,
            evidence.recorded,
        )
        scores = SCORES[name](empty)
        assert scores.isfinite().all() and (scores >= 0).all()
        assert sum(shares_of(scores)) == pytest.approx(1)


def test_shares_keep_the_order_and_add_up_to_one():
    shares = shares_of(torch.tensor([1.2, 0.9, 0.0]))
    assert sum(shares) == pytest.approx(1) and shares[0] > shares[1] > shares[2] == 0
    assert shares[0] / shares[1] == pytest.approx((1.2 / 0.9) ** module.SHARPNESS)
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
    assert first.startswith("picture 1: mouse: ") and second.startswith("picture 2: mouse: ")
    assert not found.warnings


def test_many_concepts_wrap_into_rows():
    votes = torch.randint(0, 50, (34, HEADS), generator=torch.Generator().manual_seed(0))
    many = HeadRelevance.from_votes(tuple(f"Concept {n}" for n in range(34)), votes, LAYOUT, {})
    _, latent, recording = studio()
    found = compare(recording, latent, "mouse", many, image=torch.rand(1, 700, 900, 3))
    assert found.masks.shape[0] == 34 and found.grid.shape[2] < 1700


def test_what_cannot_be_compared_says_why():
    _, latent, recording = studio()
    with pytest.raises(
        ValueError, match="Only Animals is named.*needs two at least.*Animals, Electronics, Color"
    ):
        compare(recording, latent, "mouse", vectors(), "animals, Animals")
    with pytest.raises(ValueError, match="no concept “Animal”"):
        compare(recording, latent, "mouse", vectors(), "Animal, Color")
    with pytest.raises(ValueError, match="“cat” is not in the prompt"):
        compare(recording, latent, "cat", vectors())
    assert named_concepts(vectors(), "") == list(CONCEPTS)
