"""Head relevance: the formula, ranking and choosing."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hrv_pack.hrv.heads.known_layouts import SD1, SDXL
from hrv_pack.hrv.heads.layout import Block, Layout
from hrv_pack.hrv.relevance.vectors import HeadRelevance, heads_of_percent, relevance_of

LAYOUT = Layout((Block("input", 1, 0, 2), Block("middle", 0, 0, 3)))
CONCEPTS = ("Animals", "Color", "Time of Day")


def random_votes(seed: int = 0, layout: Layout = LAYOUT, concepts: int = 3) -> torch.Tensor:
    return torch.randint(0, 50, (concepts, layout.heads), generator=torch.Generator().manual_seed(seed))


def build(seed: int = 0, **metadata) -> HeadRelevance:
    return HeadRelevance.from_votes(CONCEPTS, random_votes(seed), LAYOUT, metadata)


def test_formula_by_hand():
    votes = torch.tensor([[3, 0], [1, 2]])
    # shares: head 0 gives 3/4 and 1/4, head 1 gives 0 and 1; each row then sums to the 2 heads
    assert torch.allclose(relevance_of(votes), torch.tensor([[2.0, 0.0], [2 * 0.25 / 1.25, 2 * 1 / 1.25]]))


@given(st.lists(st.lists(st.integers(0, 1000), min_size=4, max_size=4), min_size=1, max_size=5))
def test_formula_is_the_plain_sums(rows):
    relevance = relevance_of(torch.tensor(rows))
    heads, concepts = range(4), range(len(rows))
    share = [[rows[c][n] / max(1, sum(rows[d][n] for d in concepts)) for n in heads] for c in concepts]
    for c in concepts:
        expected = [4 * share[c][n] / sum(share[c]) if sum(share[c]) else 1.0 for n in heads]
        assert relevance[c].tolist() == pytest.approx(expected, abs=1e-5)


def test_rows_sum_to_the_number_of_heads_even_without_votes():
    votes = random_votes()
    votes[1] = 0
    vectors = HeadRelevance.from_votes(CONCEPTS, votes, LAYOUT, {})
    assert vectors.relevance.sum(1).tolist() == pytest.approx([5, 5, 5])
    assert vectors.of("Color").tolist() == [1.0] * 5


def test_ranking_breaks_ties_by_number_and_least_is_most_reversed():
    relevance = torch.tensor([[1.0, 2.0, 0.0, 2.0, 0.0]])
    vectors = HeadRelevance(("Animals",), relevance, LAYOUT)
    assert vectors.ranking("Animals").tolist() == [1, 3, 0, 2, 4]
    assert vectors.ranking("animals ", "least relevant").tolist() == [4, 2, 0, 3, 1]


@pytest.mark.parametrize(
    ("percent", "heads", "count"),
    [(23, 128, 30), (23, 1300, 299), (100, 128, 128), (0, 128, 1), (0.1, 128, 1), (50, 5, 3), (20, 5, 1)],
)
def test_percent_is_rounded_and_at_least_one_head(percent, heads, count):
    assert heads_of_percent(percent, heads) == count


def test_select_equal_and_by_relevance():
    vectors = HeadRelevance(("Animals",), torch.tensor([[0.5, 2.5, 0.0, 1.5, 0.5]]), LAYOUT)
    equal = vectors.select("Animals", 40)
    assert equal.weights.tolist() == [0, 1, 0, 1, 0] and equal.weights.dtype == torch.float32
    assert equal.label == "Animals, most relevant 40 %" and equal.layout == LAYOUT
    assert vectors.select("Animals", 40, weighting="relevance").weights.tolist() == [0, 2.5, 0, 1.5, 0]
    balanced = vectors.select("Animals", 40, weighting="balanced")
    assert balanced.weights.tolist() == [0, 1, 0, 1, 0] and balanced.balanced and not equal.balanced
    assert balanced.label == "Animals, most relevant 40 %, balanced"
    with pytest.raises(ValueError, match="Set weighting to equal"):
        vectors.select("Animals", 20, "least relevant", "relevance")


def test_most_and_least_share_no_head():
    vectors = build()
    most = vectors.select("Color", 40).weights
    assert not (most * vectors.select("Color", 60, "least relevant").weights).any()


def test_an_unknown_concept_lists_what_there_is():
    with pytest.raises(ValueError, match="no concept “Animal”.*mean “Animals”.*Animals, Color, Time of Day"):
        build().of("Animal")
    with pytest.raises(ValueError, match="need the name of a concept"):
        build().of(" ")


def test_layout_check_says_both_counts_and_what_to_do():
    sdxl = HeadRelevance(("Animals",), torch.ones(1, 1300), SDXL)
    sdxl.check(SDXL)
    with pytest.raises(ValueError) as error:
        sdxl.check(SD1)
    assert str(error.value).startswith(
        "These vectors are for 1300 heads (SDXL); this model has 128 (SD1). Pick "
    )
    other = Layout(tuple(reversed(LAYOUT.blocks)))
    with pytest.raises(ValueError, match="both have 5 heads, but in other parts"):
        build().check(other)
    heads = build().select("Animals", 50)
    heads.check(LAYOUT)
    with pytest.raises(ValueError, match="chosen for a model with 5 heads; this model has 128"):
        heads.check(SD1)
    with pytest.raises(ValueError, match="with 5 heads; this model has just as many, but in other parts"):
        heads.check(other)


@pytest.mark.parametrize(
    ("relevance", "fault"),
    [
        (torch.ones(3, 4), "expected float32 .3, 5."),
        (torch.ones(3, 5).double(), "torch.float64"),
        (torch.full((3, 5), float("nan")), "not numbers"),
        (torch.tensor([[-1.0, 3, 1, 1, 1]] * 3), "negative"),
        (torch.ones(3, 5) * 1.01, "'Animals' adds up to 5.05; expected the number of heads, 5"),
    ],
)
def test_bad_relevance_is_refused(relevance, fault):
    with pytest.raises(ValueError, match=fault):
        HeadRelevance(CONCEPTS, relevance, LAYOUT)


@pytest.mark.parametrize(
    ("concepts", "fault"),
    [
        ((), "0 concepts"),
        (("a", "A "), "letters"),
        (("a", "A"), "twice"),
        (("a\n",), "letters"),
        (("x" * 101,), "letters"),
    ],
)
def test_bad_concept_names_are_refused(concepts, fault):
    with pytest.raises(ValueError, match=fault):
        HeadRelevance(concepts, torch.ones(len(concepts), 5), LAYOUT)


def test_votes_and_relevance_must_agree():
    with pytest.raises(ValueError, match="does not follow"):
        HeadRelevance(CONCEPTS, torch.ones(3, 5), LAYOUT, random_votes())
    with pytest.raises(ValueError, match="negative votes"):
        HeadRelevance.from_votes(CONCEPTS, random_votes() - 60, LAYOUT, {})
    with pytest.raises(ValueError, match="more than"):
        HeadRelevance.from_votes(CONCEPTS, torch.full((3, 5), 2**62), LAYOUT, {})
