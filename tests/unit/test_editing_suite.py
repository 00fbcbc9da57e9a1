"""benchmarks/editing*.py: pairs differ in one word, objects are found in pictures, and what the tables say."""

import sys

import numpy as np
import pytest

from devtools.setup import ROOT

sys.path.append(str(ROOT / "benchmarks"))
import editing  # noqa: E402
from editing_report import PLAIN, Seen, by_prompt, table  # noqa: E402
from editing_scenes import QUESTIONS, iou, object_mask, pairs, surroundings  # noqa: E402

from hrv_pack.tools.train_demo.draw import render  # noqa: E402
from hrv_pack.tools.train_demo.world import sample_scene  # noqa: E402


def test_pairs_differ_in_the_word_that_is_asked_for():
    found = pairs(4, seed=1)
    assert found == pairs(4, seed=1) and found != pairs(4, seed=2)
    assert [pair.question for pair in found] == [*QUESTIONS] * 4
    for pair in found:
        before, after = pair.before.split(), pair.after.split()
        ((old, new),) = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
        assert new == pair.wanted and before[4] == pair.noun
        assert before.index(old) == {"pattern": 2, "colour": 3, "kind": 4}[pair.question]


def test_objects_of_rendered_scenes_are_found_and_left_out():
    rng = np.random.default_rng(3)
    for _ in range(6):
        picture, (mask,) = render(sample_scene(rng, two_objects=0.0))
        found = object_mask(picture)
        assert iou(found, mask) > 0.8
        outside = surroundings(found)
        assert (outside & mask).sum() < 0.02 * mask.sum() and outside.mean() > 0.3
    flat = np.full((64, 64, 3), 90, np.uint8)
    assert not object_mask(flat).any() and iou(object_mask(flat), object_mask(flat)) == 1.0


def seen(question: str, prompt: int, changed: bool, kept: float, outside: float) -> Seen:
    return Seen(question, prompt, changed, kept, outside, 0.9)


def test_the_table_pairs_each_setting_with_the_same_prompts_drawn_plainly():
    results = {
        PLAIN: [seen("colour", 1, True, 1.0, 0.04), seen("colour", 1, True, 0.5, 0.06), seen("kind", 2, True, 1.0, 0.30)],
        "some": [seen("colour", 1, False, 1.0, 0.01), seen("colour", 1, True, 1.0, 0.03)],
    }  # fmt: skip
    assert by_prompt(results[PLAIN], None, "outside") == pytest.approx({1: 0.05, 2: 0.3})
    rows = table(results, None).splitlines()[2:]
    assert rows == [
        "| the changed prompt alone | 3 | 100% | 88% | 17.50 % |  | 0.90 |",
        "| some | 2 | 50% | 100% | 2.00 % | 3.00 ± 0.00 % | 0.90 |",
    ]
    assert len(table(results, "kind").splitlines()) == 3  # "some" has none of that kind


def test_the_best_setting_draws_the_new_word_and_changes_little_else():
    names = [setting.name for setting in editing.TUNED]
    results = {name: [seen("colour", 1, True, 1.0, 0.10)] for name in names}
    results[names[2]] = [seen("colour", 1, True, 1.0, 0.05)]
    results[names[3]] = [seen("colour", 1, False, 1.0, 0.01)]
    assert editing.best(results).name == names[2]
    variants = editing.reported(editing.best(results), every=4)
    assert [one.every for one in variants] == [1, 1, 4, 4, 4] and variants[1].cross == editing.TUNED[2].cross
    assert len(editing.reported(editing.TUNED[1], every=0)) == 2
