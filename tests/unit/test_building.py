"""Prompts, plans, continuing and agreement of a build, and its chart."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from hrv_pack.hrv.draw.line_chart import HEIGHT, WIDTH, settling_chart
from hrv_pack.hrv.heads.known_layouts import SD1
from hrv_pack.hrv.relevance import building
from hrv_pack.hrv.relevance.building import BuildPlan, BuildState
from hrv_pack.hrv.relevance.vectors import HeadRelevance, relevance_of

PLAN = BuildPlan(20, "p", 6, "w", "c", 1, 10, 7.0, "euler", "normal", 512, 512, 1)


def test_prompts_one_a_line():
    text = "# list\n a red cat \n\ntwo dogs # running\r\n#no\n"
    assert building.parse_prompts(text) == ["a red cat", "two dogs # running"]
    assert building.numbered(["a", "b", "a"]) == [("a", "a#0"), ("b", "b#0"), ("a", "a#1")]


def test_shipped_prompts():
    from devtools.server import ROOT

    for name in ("general", "demo"):
        prompts = building.parse_prompts((ROOT / f"hrv_data/prompts/{name}.txt").read_text(encoding="utf-8"))
        assert len(prompts) >= 200 and len(set(prompts)) == len(prompts)
        assert all(len(prompt) < 120 for prompt in prompts)


def test_the_demo_prompts_are_of_its_world():
    from devtools.server import ROOT
    from tools.train_demo.world import WORDS

    text = (ROOT / "hrv_data/prompts/demo.txt").read_text(encoding="utf-8")
    words = {word for line in building.parse_prompts(text) for word in line.replace(",", " ").split()}
    assert words <= set(WORDS)


def test_noise_differs_by_seed_and_prompt():
    seeds = {building.noise_seed(seed, key) for seed in (0, 1) for key in ("a#0", "a#1", "b#0")}
    assert len(seeds) == 6 and all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize(
    ("prompts", "ends"),
    [(100, [*range(10, 101, 10)]), (4, [1, 2, 3, 4]), (25, [3, 5, 8, 10, 13, 15, 18, 20, 23, 25])],
)
def test_tenths(prompts, ends):
    assert building.parts_ends(prompts) == ends


def plain_spearman(a: list[float], b: list[float]) -> float:
    def ranks(values):
        return [sum(v < x for v in values) + (sum(v == x for v in values) + 1) / 2 for x in values]

    x, y = ranks(a), ranks(b)
    mx, my = sum(x) / len(x), sum(y) / len(y)
    both = sum((p - mx) * (q - my) for p, q in zip(x, y))
    return both / math.sqrt(sum((p - mx) ** 2 for p in x) * sum((q - my) ** 2 for q in y))


def test_agreement_is_the_plain_rank_correlation():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randint(0, 6, (3, 40), generator=generator) for _ in range(2))
    found = building.rank_correlations(relevance_of(a), relevance_of(b)).tolist()
    plain = [
        plain_spearman(x.tolist(), y.tolist()) for x, y in zip(relevance_of(a), relevance_of(b), strict=True)
    ]
    assert np.allclose(found, plain, atol=1e-12)
    same = building.rank_correlations(relevance_of(a), relevance_of(a))
    assert same.tolist() == pytest.approx([1, 1, 1])


def test_a_concept_in_which_no_head_stands_out_counts_as_nothing():
    a = relevance_of(
        torch.tensor([[1, 2, 3], [0, 0, 0]])
    )  # each head gave all its votes to the first concept
    assert building.rank_correlations(a, a).tolist() == [0, 0]


def vectors(state=None, votes=True, **metadata):
    counts = torch.ones(2, 128, dtype=torch.int64)
    if state is not None:
        metadata["construction"] = building.construction([], state)
    made = HeadRelevance.from_votes(("Animals", "Colour"), counts, SD1, metadata)
    return made if votes else dataclasses.replace(made, votes=None)


def test_a_state_survives_its_file():
    state = BuildState(PLAN, 7, 12.34, ((2, 0.5), (4, 0.75)), {"torch": "2"})
    again = BuildState.from_dict(json.loads(json.dumps(state.to_dict())))
    assert again == dataclasses.replace(state, seconds=12.3)
    for broken in (None, [], {}, {"prompts": 3}, {**state.to_dict(), "settled": 3}):
        assert BuildState.from_dict(broken) is None


def test_the_same_plan_goes_on_and_others_are_added_to():
    state = BuildState(PLAN, 7)
    assert building.split(None, PLAN) == ([], BuildState(PLAN))
    assert building.split(vectors(state), PLAN) == ([], state)
    other = dataclasses.replace(PLAN, seed=2)
    kept, fresh = building.split(vectors(state), other)
    assert kept == [json.loads(json.dumps(state.to_dict()))] and fresh == BuildState(other)
    both = json.loads(building.construction(kept, BuildState(other, 3)))
    assert [part["prompts_done"] for part in both["merged"]] == [7, 3]
    kept, third = building.split(vectors(construction=json.dumps(both)), other)
    assert third.done == 3 and len(kept) == 1
    assert building.split(vectors(construction='{"samplings": 4}'), PLAN)[0] == [{"samplings": 4}]
    assert building.split(vectors(), PLAN) == ([], BuildState(PLAN))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"weights": "x"}, "another checkpoint"), ({"concept_words_hash": "x"}, "different words")],
)
def test_votes_of_something_else_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        building.split(vectors(BuildState(dataclasses.replace(PLAN, **change), 3)), PLAN)


def test_published_vectors_cannot_be_continued():
    with pytest.raises(ValueError, match="hold no votes"):
        building.split(vectors(votes=False), PLAN)


def test_report_and_duration():
    state = BuildState(PLAN, 20, 3725.0, ((18, 0.9), (20, 0.934)))
    text = building.build_in_words(state, vectors(state), "/models/hrv/x.safetensors", ["a note"])
    for part in ("20 of 20 prompts", "1 h 2 min", "128 heads", "0.93", "/models/hrv/x.safetensors", "a note"):
        assert part in text
    assert [building.duration(s) for s in (0.4, 59, 90, 7200)] == ["0 s", "59 s", "1 min 30 s", "2 h 0 min"]


@pytest.mark.parametrize("settled", [(), ((2, 0.5),), ((2, -0.4), (4, 0.3), (20, 1.0))])
def test_the_chart_draws_a_point_for_each_state(settled):
    chart = settling_chart(settled, 20, "128 heads, 34 concepts")
    assert chart.shape == (HEIGHT, WIDTH, 3) and chart.dtype == torch.float32
    blue = (chart * 255).round().int().eq(torch.tensor([33, 95, 154])).all(-1)
    columns = blue.any(0).nonzero().flatten()
    assert bool(settled) == bool(len(columns))
    if len(settled) > 1:
        assert 170 <= columns.min() <= 180 and 957 <= columns.max() <= 967  # from prompt 2 to prompt 20 of 20
