"""Select Heads for a Word in the real host."""

import logging

import pytest
import torch


@pytest.fixture(scope="module")
def sampled(rig):
    """A studio whose recorder has seen one sampling of a batch of two, and that latent."""
    return rig.studio().sample(batch=2)


def test_the_contract_of_the_graph(comfy):
    schema = comfy.node_class("HRVAutoHeads").GET_SCHEMA()
    assert [i.id for i in schema.inputs] == ["attention", "latent", "word", "percent", "prompt_text"]
    assert [i.id for i in schema.inputs if i.optional] == ["prompt_text"]
    assert schema.inputs[3].default == 23.0
    assert [(o.display_name, o.io_type) for o in schema.outputs] == [
        ("heads", "HRV_HEADS"),
        ("chart", "IMAGE"),
    ]


def test_its_heads_give_a_heatmap_from_the_kept_recording(comfy, sampled):
    (heads, chart), shown = comfy.run_node_ui(
        "HRVAutoHeads", attention=sampled.recording, latent=sampled.latent, word="red cat"
    )
    count = sampled.recording.layout.heads
    assert (heads.weights > 0).sum() == -(-count * 23 // 100)
    assert chart.ndim == 4 and chart.shape[0] == 1 and len(shown["images"]) == 1
    assert shown["text"][0].startswith("heads for red cat, best 23 %: ")

    def heat(heads):
        return comfy.run_node(
            "HRVHeatmap", attention=sampled.recording, latent=sampled.latent, words="red cat", heads=heads
        )[1]

    assert not torch.equal(heat(heads), heat(None)) and heat(heads).isfinite().all()
    every, _ = comfy.run_node(
        "HRVAutoHeads", attention=sampled.recording, latent=sampled.latent, word="cat", percent=100.0
    )
    assert (every.weights > 0).sum() > (
        heads.weights > 0
    ).sum()  # heads that look elsewhere than most are left out


def test_errors_and_warnings(comfy, rig, sampled, caplog):
    with pytest.raises(ValueError, match="“dog” is not in the prompt"):
        comfy.run_node("HRVAutoHeads", attention=sampled.recording, latent=sampled.latent, word="dog")
    assert comfy.node_class("HRVAutoHeads").validate_inputs(" ") != True  # noqa: E712  a text says why
    with pytest.raises(ValueError, match="matches none of the images that did"):
        comfy.run_node("HRVAutoHeads", attention=sampled.recording, latent=rig.empty(1, 5, 5), word="cat")
    changed = {"samples": sampled.latent["samples"] * 0.5}
    with caplog.at_level(logging.WARNING):
        _, shown = comfy.run_node_ui("HRVAutoHeads", attention=sampled.recording, latent=changed, word="cat")
    assert "It matches an image" in shown["text"][0] and any(
        "It matches an image" in r.message for r in caplog.records
    )


def test_a_clip_from_elsewhere_needs_the_text(comfy, rig):
    studio = rig.studio("sd1")
    positive = rig.encode(rig.clip("sd1"), "a red cat")
    latent = {"samples": rig.sample(studio.recorded, positive, studio.negative)}
    with pytest.raises(ValueError, match="type the prompt into prompt_text"):
        comfy.run_node("HRVAutoHeads", attention=studio.recording, latent=latent, word="cat")
    heads, _ = comfy.run_node(
        "HRVAutoHeads", attention=studio.recording, latent=latent, word="cat", prompt_text="a red cat"
    )
    assert heads.weights.any()
