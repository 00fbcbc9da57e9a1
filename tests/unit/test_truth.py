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
import truth_senses  # noqa: E402

from hrv_pack.tools.train_demo.world import CLASHES, TWO_SENSE  # noqa: E402


def test_words_of_an_object_are_found_by_their_occurrence():
    text = "an orange plain orange star and a small plain rose orange on grass"
    assert truth_scenes.numbered(text, 1) == "orange#1" and truth_scenes.numbered(text, 3) == "orange#2"
    assert truth_scenes.noun_of(text, 0) == "star#1" and truth_scenes.noun_of(text, 1) == "orange#3"


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


@pytest.mark.parametrize("sort", truth_senses.SORTS)
def test_pictures_of_two_senses(sort):
    rng = np.random.default_rng(0)
    asked = [truth_senses.wanted(rng, sort, number) for number in range(24)]
    assert {(one.word, one.sense) for one in asked} == {
        (w, s) for w in TWO_SENSE for s in truth_senses.SENSES
    }
    for one in asked:
        words = one.prompt.replace(",", "").split()
        assert words.count(one.word) == 1 and ("," in one.prompt) == (sort != "named")
        if sort == "named":
            assert (words[2] == one.word) == (one.sense == "thing")
        assert (one.scene is not None) == (sort == "shown")
        if one.scene is not None:
            (thing,) = one.scene.things
            shown = {"thing": thing.kind, "colour": thing.colour}
            assert shown[one.sense] == one.word and list(shown.values()).count(one.word) == 1
            assert (thing.colour, one.scene.background) not in CLASHES and one.scene.background in one.prompt


USED = ("votes", "painted", "middle half")


def row(sense: str, said: str, word="rose", sort="named") -> dict:
    always = "thing"
    return {
        "sort": sort,
        "word": word,
        "sense": sense,
        "said": {USED: said, ("votes", "level", "middle half"): always},
        "share": {USED: 0.9 if said == sense else 0.55},
    }


def test_senses_count_the_same_however_many_pictures_they_have():
    rows = [
        row("thing", "thing"),
        row("thing", "thing"),
        row("thing", "thing"),
        row("colour", "thing", "mint", "shown"),
    ]
    assert truth_ambiguity.accuracy(rows, USED) == 0.5 and truth_ambiguity.share_right(rows, USED) == 0.75
    tuning = [row("thing", "thing"), row("colour", "colour")]
    assert truth_ambiguity.best(tuning) == USED
    text = truth_ambiguity.markdown({"tuning": tuning, "report": rows})
    assert "4 pictures whose sense the judge can tell" in text and "commoner sense in 75.0%" in text
    assert "| painted (used) | votes | middle half | 75.0% | 50.0% | 100.0% |" in text
    assert "25% of its verdicts are called doubtful; of the others 100.0% are right" in text
    assert "| rose | 3 of 3 right | none |" in text and "| shown | none | 0 of 1 right |" in text


def test_the_figure_is_drawn(tmp_path):
    curves = {"a": {5: 0.4, 50: 0.5, 100: 0.3}, "b": {5: 0.2, 50: 0.25, 100: 0.3}}
    truth_figure.draw(curves, 0.3, "title", tmp_path / "figure.png")
    from PIL import Image

    picture = np.asarray(Image.open(tmp_path / "figure.png"))
    assert picture.shape == (truth_figure.HEIGHT, truth_figure.WIDTH, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20
