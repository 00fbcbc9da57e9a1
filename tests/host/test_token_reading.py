"""Reading recordings of transformers: the parts of a timeline, heads by layer and kind, two recordings compared, files."""

import json

import pytest
import token_rig
import torch
from safetensors import safe_open

from hrv_pack.hrv.heads.selection import HeadSelection
from hrv_pack.hrv.maps.timeline import recorded_parts, timeline_maps
from hrv_pack.hrv.maps.word_maps import Target, word_maps

FAMILY = "Flux"  # 2 double and 3 single layers of 2 heads
STAR = (3, 4)
SHARES = ("of everything", "of the text")


def sampled(seed: int = 0, text: int = 0) -> tuple:
    """(recording, latent) of a run in two parts; text: which embedding of the same words."""
    found = token_rig.studio(FAMILY, time_bins=2)
    positive, negative = token_rig.worded(FAMILY, seed=text), token_rig.prompt(FAMILY, seed=9)
    samples = token_rig.draw(
        found.recorded, positive, negative, token_rig.empty(FAMILY), steps=4, seed=seed, cfg=2.0
    )
    return found.recording, {"samples": samples}


@pytest.fixture(scope="module")
def one(comfy):
    return sampled()


@pytest.fixture(scope="module")
def other(comfy):
    return sampled(seed=1, text=1)


def plain_map(entry, part: int | None, share: str, layers=range(5)) -> torch.Tensor:
    """Mean over heads and columns of the word, straight from the sums, in float64."""
    heads = []
    for layer in layers:
        sums = entry.maps[layer][0, entry.places(part)].double().sum(0)  # (head, column, height, width)
        places = [entry.columns.index(column) for column in STAR]
        below = sums[:, -1:] if share == SHARES[1] else entry.count(part, layer)
        heads.append((sums[:, places] / below).mean(1))
    return torch.cat(heads).mean(0)


@pytest.mark.parametrize("share", SHARES)
def test_a_timeline(comfy, one, share):
    recording, latent = one
    (match,) = recording.match(latent["samples"], share)
    (entry,) = match.run.of_role("positive")
    assert recorded_parts([entry]) == [0, 1] and entry.counts and entry.count() == 4
    found = timeline_maps(match, [Target(((entry, STAR),))], [0, 1])
    for part in (0, 1):
        assert entry.count(part) == 2
        assert torch.allclose(found[part, 0].double(), plain_map(entry, part, share), atol=1e-5)
    whole = word_maps(match, [Target(((entry, STAR),))])[0]
    assert torch.allclose(whole.double(), plain_map(entry, None, share), atol=1e-5)
    assert not torch.allclose(found[0, 0], found[1, 0], rtol=0.01)
    inputs = {"attention": recording, "latent": latent, "words": "star", "share": share}
    overlay, heat, _, names = comfy.run_node("HRVHeatmap", **inputs, timeline=True)
    assert len(overlay) == len(heat) == 2 and names == ["star"] * 2


def test_heads_by_kind_and_layer(comfy, one):
    recording, latent = one
    (match,) = recording.match(latent["samples"])
    (entry,) = match.run.of_role("positive")
    target = Target(((entry, STAR),))
    choices = {
        ("double", ""): (0, 1),
        ("single", ""): (2, 3, 4),
        ("all", "2-3"): (1,),
        ("single", "4-7"): (2, 3),
    }
    for (part, indices), layers in choices.items():
        (heads,) = comfy.run_node(
            "HRVFilterHeads", attention=recording, part=part, grid="all", indices=indices
        )
        assert isinstance(heads, HeadSelection) and int((heads.weights > 0).sum()) == 2 * len(layers)
        found = word_maps(match, [target], heads)[0]
        assert torch.allclose(found.double(), plain_map(entry, None, SHARES[0], layers), atol=1e-5)
        heat = comfy.run_node("HRVHeatmap", attention=recording, latent=latent, words="star", heads=heads)[1]
        assert float(heat.max()) > 0
    with pytest.raises(ValueError, match="No heads are left.*10 heads, in these parts: double, single"):
        comfy.run_node("HRVFilterHeads", attention=recording, part="middle", grid="all", indices="")
    (every,) = comfy.run_node("HRVFilterHeads", attention=recording, part="all", grid="largest", indices="")
    assert bool((every.weights > 0).all()), "transformers have one grid"


def test_two_recordings_are_compared(comfy, one, other):
    asked = dict(zip(("attention_a", "latent_a", "attention_b", "latent_b"), (*one, *other), strict=True))
    grid, change, report, data = comfy.run_node("HRVCompareRecordings", **asked)
    told = json.loads(data)
    assert {word["name"] for word in told["words"]} == {"red", "star"} and told["only_a"] == []
    assert "star" in report and grid.shape[-1] == 3 and float(change.max()) > 0
    same = dict(zip(asked, (*one, *one), strict=True))
    _, change, _, _ = comfy.run_node("HRVCompareRecordings", **same)
    assert float(change.max()) == 0


def test_files_keep_parts_kinds_and_the_text_mass(comfy, one, other, tmp_path, monkeypatch):
    monkeypatch.setattr(comfy.folder_paths, "output_directory", str(tmp_path))
    recording, latent = one
    (path,) = comfy.run_node("HRVSaveAttention", attention=recording, latent=latent, filename_prefix="flux")
    with safe_open(path, framework="pt") as file:
        assert file.metadata()["format_version"] == "2"
        names = set(file.keys())
    assert {"prompt0.picture0.time0.double.1.0", "prompt0.picture0.time0.single.2.0.mass"} <= names
    loaded, again = comfy.run_node("HRVLoadAttention", name="flux_00001_.safetensors [output]")
    for given in ({"timeline": True}, {"share": SHARES[1]}, {"maps": "all heads (DAAM)"}):
        heat = [
            comfy.run_node("HRVHeatmap", attention=attention, latent=of, words="star, red", **given)[1]
            for attention, of in ((recording, latent), (loaded, again))
        ]
        assert torch.equal(*heat), given
    chosen = [
        comfy.run_node("HRVAutoHeads", word="star", attention=attention, latent=of)[0].weights
        for attention, of in ((recording, latent), (loaded, again))
    ]
    assert torch.equal(*chosen)
    (heads,) = comfy.run_node("HRVFilterHeads", attention=loaded, part="double", grid="all", indices="")
    assert int((heads.weights > 0).sum()) == 4
    asked = {"attention_a": loaded, "latent_a": again, "attention_b": other[0], "latent_b": other[1]}
    fresh = {**asked, "attention_a": recording, "latent_a": latent}
    found = [comfy.run_node("HRVCompareRecordings", **given)[1] for given in (asked, fresh)]
    assert torch.equal(*found)
