"""Compare Two Recordings in the real host: two samplings of one recorder, and a recording that was saved and loaded."""

import json

import pytest
import torch

INPUTS = [
    ("attention_a", "HRV_ATTENTION", False),
    ("latent_a", "LATENT", False),
    ("attention_b", "HRV_ATTENTION", False),
    ("latent_b", "LATENT", False),
    ("words", "STRING", False),
    ("unit", "COMBO", False),
    ("image_a", "IMAGE", True),
    ("image_b", "IMAGE", True),
    ("heads", "HRV_HEADS", True),
]


@pytest.fixture(scope="module")
def studios(rig):
    return [rig.studio("sdxl", text).sample() for text in ("a red cat and a dog", "the red cat on sand")]


def test_the_contract_of_the_graph(comfy):
    schema = comfy.node_class("HRVCompareRecordings").GET_SCHEMA()
    assert [(i.id, i.get_io_type(), bool(i.optional)) for i in schema.inputs] == INPUTS
    assert [(o.display_name, o.get_io_type()) for o in schema.outputs] == [
        ("grid", "IMAGE"),
        ("change", "MASK"),
        ("report", "STRING"),
        ("data", "STRING"),
    ]
    assert all(i.tooltip for i in schema.inputs) and all(o.tooltip for o in schema.outputs)


def test_two_samplings_are_compared_word_by_word(comfy, studios):
    a, b = studios
    asked = {
        "attention_a": a.recording, "latent_a": a.latent, "attention_b": b.recording, "latent_b": b.latent,
    }  # fmt: skip
    (grid, change, report, data), shown = comfy.run_node_ui("HRVCompareRecordings", **asked)
    told = json.loads(data)
    assert {one["name"] for one in told["words"]} == {"red", "cat"}
    assert (told["only_a"], told["only_b"]) == (["dog"], ["sand"])
    assert (
        grid.shape[0] == 1 and change.shape[0] == 2 and 0 <= float(change.min()) <= float(change.max()) <= 1
    )
    assert shown["text"][0].startswith(report)
    heat = [
        comfy.run_node("HRVHeatmap", attention=s.recording, latent=s.latent, words="cat", caption=False)
        for s in (a, b)
    ]
    assert heat[0][1].shape == change[:1].shape and not torch.equal(heat[0][1], heat[1][1])


def test_a_loaded_recording_is_as_good_as_a_fresh_one(comfy, studios, tmp_path, monkeypatch):
    monkeypatch.setattr(comfy.folder_paths, "output_directory", str(tmp_path))
    a, b = studios
    comfy.run_node("HRVSaveAttention", attention=a.recording, latent=a.latent, filename_prefix="one")
    recording, latent = comfy.run_node("HRVLoadAttention", name="one_00001_.safetensors [output]")
    fresh = comfy.run_node(
        "HRVCompareRecordings", attention_a=a.recording, latent_a=a.latent, attention_b=b.recording, latent_b=b.latent,
    )  # fmt: skip
    again = comfy.run_node(
        "HRVCompareRecordings", attention_a=recording, latent_a=latent, attention_b=b.recording, latent_b=b.latent,
    )  # fmt: skip
    assert torch.allclose(again[1], fresh[1], atol=2e-2) and json.loads(again[3])["only_a"] == ["dog"]
