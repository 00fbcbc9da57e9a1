"""Adding up head relevance: votes, agreement, and what cannot be added."""

import dataclasses
import json

import pytest
import torch
from test_vectors import CONCEPTS, LAYOUT, build, random_votes

from hrv_pack.hrv.heads.known_layouts import SD1
from hrv_pack.hrv.relevance.agreement import AgreementSums, sums_of
from hrv_pack.hrv.relevance.building import BuildPlan, BuildState, construction, split
from hrv_pack.hrv.relevance.merging import merge
from hrv_pack.hrv.relevance.vectors import HeadRelevance, relevance_of


def test_merge_adds_votes_and_keeps_how_each_was_built():
    first, second = (
        build(0, construction=json.dumps({"seed": 0}), model="a"),
        build(1, model="b", construction="{}"),
    )
    merged = merge(merge(first, second), build(2, construction=json.dumps({"seed": 2}), model="a"))
    assert torch.equal(merged.votes, random_votes(0) + random_votes(1) + random_votes(2))
    assert torch.allclose(merged.relevance, relevance_of(merged.votes))
    parts = json.loads(merged.metadata["construction"])["merged"]
    assert [{k: v for k, v in part.items() if k != "counts"} for part in parts] == [
        {"seed": 0},
        {},
        {"seed": 2},
    ]
    assert len({part["counts"] for part in parts}) == 3  # which votes these are
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


# -- what must not be added up ----------------------------------------------------------------------------------------


def plan(**changes) -> BuildPlan:
    same = BuildPlan(8, "p" * 16, 20, "w" * 16, "c" * 16, 3, 20, 7.0, "euler", "normal", 512, 512, 1)
    return dataclasses.replace(same, **changes)


def made(number: int, done: int = 8, **changes) -> HeadRelevance:
    """Vectors as Build Head Relevance makes them, of this plan."""
    return build(number, construction=construction([], BuildState(plan(**changes), done)))


def test_two_checkpoints_are_refused_with_both_named():
    with pytest.raises(
        ValueError,
        match="different checkpoints .the first: cccccccc; the second: dddddddd.*Merge vectors of one",
    ) as error:
        merge(made(0), made(1, weights="d" * 16, seed=4))
    assert "\n" not in str(error.value)


def test_other_concept_words_are_refused():
    with pytest.raises(
        ValueError, match="different words for the same concepts .the first: wwwwwwww; the second: vvvvvvvv"
    ):
        merge(made(0), made(1, concept_words_hash="v" * 16, seed=4))


def test_what_is_refused_in_a_part_is_refused_in_the_whole():
    both = merge(made(0), made(1, seed=4))
    collected = build(2, construction=json.dumps({"samplings": 3, "weights": "d" * 16, "id": "x"}))
    for pair in ((both, collected), (collected, both)):
        with pytest.raises(ValueError, match="different checkpoints"):
            merge(*pair)


def test_files_that_do_not_say_their_checkpoint_can_be_added():
    """Made by another program, or by hand: nothing speaks against it."""
    merged = merge(made(0), build(1))
    assert torch.equal(merged.votes, random_votes(0) + random_votes(1))


def test_the_same_votes_are_not_added_twice_by_a_detour():
    """(A + B) + A, A + (B + A), (A + B) + (A + C); for builds, for collected votes, and for files that say nothing."""
    collected = build(5, construction=json.dumps({"samplings": 3, "id": "one"}))
    for a, name in (
        (made(0), "a build of 8 prompts with seed 3"),
        (collected, "votes collected while you worked"),
        (build(6), "those of one file"),
    ):
        b, c = made(1, seed=4), made(2, seed=5)
        for first, second in (
            (merge(a, b), a),
            (a, merge(b, a)),
            (merge(a, b), merge(a, c)),
            (merge(merge(a, b), c), a),
        ):
            with pytest.raises(
                ValueError, match=f"Both inputs hold the same counts .{name}.*count these twice"
            ):
                merge(first, second)
    assert merge(merge(made(0), made(1, seed=4)), made(2, seed=5)).votes is not None


def test_a_build_and_its_continuation_hold_the_same_votes():
    """The file that was saved after 4 prompts, and the one after 8."""
    with pytest.raises(ValueError, match="a build of 8 prompts with seed 3"):
        merge(made(0, done=4), made(1, done=8))
    merge(made(0, done=4), made(1, done=8, prompts_hash="q" * 16))


def test_collected_votes_of_two_days_are_one_file_that_grew():
    monday, tuesday = (build(n, construction=json.dumps({"samplings": n, "id": "one"})) for n in (1, 2))
    with pytest.raises(ValueError, match="votes collected while you worked"):
        merge(monday, tuesday)
    other = build(3, construction=json.dumps({"samplings": 3, "id": "two"}))
    assert torch.equal(merge(tuesday, other).votes, random_votes(2) + random_votes(3))


def test_agreement_is_not_added_twice_either():
    (_, a), (_, b) = agreed(0), agreed(1)
    with pytest.raises(ValueError, match="Both inputs hold the same counts"):
        merge(merge(a, b), a)


def test_a_plan_of_another_program_is_no_reason_to_fail():
    odd = build(0, construction=json.dumps({**BuildState(plan(), 8).to_dict(), "seed": [1, 2]}))
    lists = build(1, construction="[1, 2]")
    assert torch.equal(merge(odd, lists).votes, random_votes(0) + random_votes(1))


def test_a_merged_file_can_be_built_on():
    """Build Head Relevance goes on from its own part, and keeps the other."""
    a, b = made(0, done=4), made(1, seed=4)
    kept, state = split(merge(a, b), plan())
    assert state.done == 4 and [part["seed"] for part in kept] == [4]
