"""What the truth suite computes, without the demo model."""

import sys

import numpy as np
import pytest
import torch

from devtools.setup import ROOT

sys.path.append(str(ROOT / "benchmarks"))
import truth  # noqa: E402
import truth_ambiguity  # noqa: E402
import truth_figure  # noqa: E402
import truth_iou  # noqa: E402
import truth_scenes  # noqa: E402

from hrv_pack.hrv.layout import Block, Layout  # noqa: E402
from hrv_pack.tools.train_demo.world import TWO_SENSE, full_caption  # noqa: E402


def test_words_of_an_object_are_found_by_their_occurrence():
    text = "an orange plain orange star and a small plain rose orange on grass"
    assert truth_scenes.numbered(text, 1) == "orange#1" and truth_scenes.numbered(text, 3) == "orange#2"
    assert truth_scenes.noun_of(text, 0) == "star#1" and truth_scenes.noun_of(text, 1) == "orange#3"


def test_the_words_of_every_scene_are_those_of_its_things():
    for scene in truth_scenes.scenes(20, seed=1):
        text = full_caption(scene)
        for index, thing in enumerate(scene.things):
            words = truth_scenes.concept_words(scene, index, text)
            plain = {concept: [name.split("#")[0] for name in names] for concept, names in words.items()}
            assert plain == {
                "Objects": [thing.kind],
                "Colours": [thing.colour],
                "Patterns": [thing.pattern],
                "Sizes": [thing.size],
                "Backgrounds": [scene.background],
            }


def test_iou_is_the_plain_one():
    heat = torch.zeros(16, 16)
    heat[4:8, 4:8] = 1.0
    heat[8:12, 4:8] = 0.35
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[4:12, 4:8] = True
    assert truth_scenes.iou(heat + 5.0, mask) == pytest.approx([1.0, 0.5, 0.5])


def test_gains_are_paired_with_daam():
    results = truth_iou.Results()
    for daam, auto in ((0.1, 0.3), (0.5, 0.7), (0.3, 0.5)):
        results.add(truth_iou.NAMES["daam"], [daam] * 3)
        results.add(truth_iou.NAMES["auto"], [auto] * 3)
        results.kept.append(True)
    first, second = results.table()
    assert first["mean"] == pytest.approx([0.3] * 3) and first["gain"] == pytest.approx([0.0] * 3)
    assert second["gain"] == pytest.approx([0.2] * 3) and second["gain_95"] == pytest.approx(
        [0.0] * 3, abs=1e-9
    )
    assert "| Select Heads for a Word, 23 % | 0.500 ± 0.163 |" in truth_iou.markdown(results, 3)


def test_seeds_of_tuning_training_and_report_are_apart():
    from hrv_pack.tools.train_demo import latents

    assert (
        truth.REPORT_SEED != truth.TUNING_SEED
        and max(truth.REPORT_SEED, truth.TUNING_SEED) < latents.FIRST_SEED
    )
    with pytest.raises(SystemExit):
        truth.parse(["--seed", str(truth.TUNING_SEED)])
    quick = truth.parse(["--quick"])
    assert quick.no_write and quick.scenes < 10


def test_prompts_of_two_senses():
    rng = np.random.default_rng(0)
    for clear in (False, True):
        for _ in range(30):
            text, word = truth_ambiguity.prompts(rng, clear)
            assert word in TWO_SENSE and text.replace(",", "").split().count(word) == 1
            assert clear == ("," not in text)


def test_accuracy_is_of_the_verdicts_and_of_each_sense():
    group = {
        "pictures": 4,
        "drawn": 8,
        "senses": ["thing", "thing", "thing", "colour"],
        "right": {"votes": {"preference": [True, True, True, False]}},
    }
    text = truth_ambiguity.markdown({"ambiguous": group, "clear": {**group, "pictures": 0, "senses": []}})
    assert "| preference | votes | 75.0% | 50.0% |" in text and "is right in 75.0%" in text


def test_the_figure_is_drawn(tmp_path):
    curves = {"a": {5: 0.4, 50: 0.5, 100: 0.3}, "b": {5: 0.2, 50: 0.25, 100: 0.3}}
    truth_figure.draw(curves, 0.3, "title", tmp_path / "figure.png")
    from PIL import Image

    picture = np.asarray(Image.open(tmp_path / "figure.png"))
    assert picture.shape == (truth_figure.HEIGHT, truth_figure.WIDTH, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20
