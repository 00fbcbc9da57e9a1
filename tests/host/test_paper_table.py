"""The paper's table from end to end: a full-size SD 1.5 network of random weights, and masks that were made up."""

import re
import sys

import models
import numpy as np
import pytest
import torch
from PIL import Image

from devtools.setup import ROOT
from hrv_pack.host.store import demo_checkpoint
from hrv_pack.hrv.files import attention_files, vector_files
from hrv_pack.hrv.heads.known_layouts import SD1
from hrv_pack.hrv.look.heatmap import Style, heatmaps
from hrv_pack.hrv.maps.mask_iou import mask_iou
from hrv_pack.hrv.relevance.vectors import HeadRelevance

sys.path.append(str(ROOT / "benchmarks"))
import paper_table  # noqa: E402


@pytest.fixture(scope="module")
def sd15():
    """(model, clip, vae) as a checkpoint loader gives them."""
    model = models.random_model(models.SD1, shared=True)
    return model, models.random_clip(models.SD1["context_dim"]), demo_checkpoint.load()[2]


def test_one_command_draws_waits_for_masks_and_prints_the_table(sd15, tmp_path, monkeypatch, capsys):
    votes = torch.randint(1, 50, (2, 128), generator=torch.Generator().manual_seed(0))
    vector_files.write(
        tmp_path / "vectors.safetensors", HeadRelevance.from_votes(("Animals", "Color"), votes, SD1, {})
    )
    (tmp_path / "prompts.txt").write_text("# mine\na photo of a cat\na polar bear on ice | polar bear\n")
    folder = tmp_path / "drawn"
    arguments = ["--folder", str(folder), "--prompts", str(tmp_path / "prompts.txt"), "--seeds", "1", "--steps", "1",
                 "--size", "64", "--sampler", "euler", "--scheduler", "normal",
                 "--vectors", str(tmp_path / "vectors.safetensors")]  # fmt: skip
    with pytest.raises(SystemExit, match="--checkpoint"):
        paper_table.main(arguments)
    monkeypatch.setattr(paper_table, "load_checkpoint", lambda path: sd15)
    paper_table.main(arguments)
    names = ["a_photo_of_a_cat_cat_0000", "a_polar_bear_on_ice_polar_bear_0000"]
    assert sorted(file.name for file in folder.iterdir()) == sorted(
        f"{n}.{e}" for n in names for e in ("png", "safetensors")
    )
    assert "0 masks" in capsys.readouterr().out and Image.open(folder / f"{names[0]}.png").size == (64, 64)

    (folder / "masks").mkdir()
    truth = np.zeros((64, 64), np.uint8)
    truth[16:40, 8:40] = 255
    Image.fromarray(truth).save(folder / "masks" / f"{names[0]}.png")
    Image.fromarray(truth.T * 0).save(folder / "masks" / f"{names[1]}.png")
    monkeypatch.setattr(paper_table, "load_checkpoint", None)  # nothing is drawn again
    paper_table.main(arguments)
    table = capsys.readouterr().out
    assert "1 pictures (1 steps euler, cfg 7.5, 64²), 1 with an empty mask left out." in table
    rows = {line.split(" | ")[0].strip("| "): line for line in table.splitlines() if line.startswith("| ")}
    assert {
        "Animals, 30 heads most relevant",
        "Animals, 30 heads least relevant",
        "Select Heads for a Word",
    } <= set(rows)
    found = [float(value) for value in re.findall(r"(\d\.\d{3}) ±", rows["DAAM (all heads)"])[:3]]
    assert found == pytest.approx(plain_ious(folder / f"{names[0]}.safetensors", truth), abs=1e-3)


def plain_ious(file, truth: np.ndarray) -> list[float]:
    """What Attention Heatmap and Mask IoU say, which have tests of their own."""
    recording, latent = attention_files.read(file)
    heat = heatmaps(recording, latent, "cat", style=Style(normalize="per word", caption=False)).heat
    return mask_iou(heat, torch.from_numpy(truth / 255.0)[None].float(), (0.3, 0.4, 0.5)).means


def test_the_default_prompts_name_their_words(capsys):
    asked = paper_table.pictures_of(paper_table.PROMPTS, paper_table.parse([]))
    assert len(asked) == 100 and len({one.name for one in asked}) == 100
    assert all(one.word in one.prompt.split() for one in asked)
    quick = paper_table.parse(["--quick"])
    assert len(paper_table.pictures_of(paper_table.PROMPTS, quick)) == 1
