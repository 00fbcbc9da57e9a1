"""Compare Concepts in the real host."""

import logging

import pytest
import torch


@pytest.fixture(scope="module")
def sampled(rig):
    """A studio whose recorder has seen one sampling of a batch of two, that latent, and vectors for the model."""
    from hrv_pack.hrv.relevance.vectors import HeadRelevance

    studio = rig.studio("sd1", positive="a grey mouse on a desk").sample(batch=2)
    layout = studio.recording.layout
    votes = torch.randint(0, 50, (3, layout.heads), generator=torch.Generator().manual_seed(0))
    studio.vectors = HeadRelevance.from_votes(("Animals", "Electronics", "Color"), votes, layout, {})
    return studio


def run(comfy, studio, **inputs):
    inputs = {"attention": studio.recording, "latent": studio.latent, "vectors": studio.vectors} | inputs
    return comfy.run_node_ui("HRVCompareConcepts", **inputs)


def test_the_contract_of_the_graph(comfy):
    schema = comfy.node_class("HRVCompareConcepts").GET_SCHEMA()
    assert [(i.id, i.get_io_type()) for i in schema.inputs] == [
        ("attention", "HRV_ATTENTION"),
        ("latent", "LATENT"),
        ("word", "STRING"),
        ("vectors", "HRV_VECTORS"),
        ("concepts", "STRING"),
        ("percent", "FLOAT"),
        ("image", "IMAGE"),
        ("prompt_text", "STRING"),
    ]
    assert [i.id for i in schema.inputs if i.optional] == ["image", "prompt_text"]
    assert [(o.display_name, o.io_type) for o in schema.outputs] == [
        ("grid", "IMAGE"),
        ("masks", "MASK"),
        ("verdict", "STRING"),
    ]
    assert schema.inputs[5].default == 23.0 and schema.is_output_node


def test_masks_equal_those_of_the_heatmap_with_the_same_heads(comfy, sampled):
    image = torch.rand(2, 96, 144, 3)
    (grid, masks, verdict), shown = run(
        comfy, sampled, word="mouse", concepts="Electronics\nanimals", image=image
    )
    assert grid.shape[0] == 2 and masks.shape == (4, 96, 144) and len(shown["images"]) == 2
    assert shown["text"] == (verdict,) and len(verdict.split("\n")) == 2
    for number, concept in enumerate(("Electronics", "Animals")):
        heads, _ = comfy.run_node("HRVSelectHeads", vectors=sampled.vectors, concept=concept)
        _, _, expected, _ = comfy.run_node(
            "HRVHeatmap", attention=sampled.recording, latent=sampled.latent, words="mouse", heads=heads, image=image
        )  # fmt: skip
        assert torch.equal(masks[number::2], expected)


def test_errors_and_warnings(comfy, rig, sampled, caplog):
    with pytest.raises(ValueError, match="no concept “Furniture”.*They have: Animals, Electronics, Color"):
        run(comfy, sampled, word="mouse", concepts="Animals, Furniture")
    assert comfy.node_class("HRVCompareConcepts").validate_inputs("") != True  # noqa: E712  a text says why
    other = rig.studio("sdxl", positive="a mouse")
    latent = {"samples": rig.sample(other.recorded, other.positive, other.negative)}
    with pytest.raises(ValueError, match="These vectors are for .* heads"):
        run(comfy, sampled, attention=other.recording, latent=latent, word="mouse")
    with pytest.raises(ValueError, match="matches none of the images that did"):
        run(comfy, sampled, word="mouse", latent=rig.empty(1, 5, 5))
    changed = {"samples": sampled.latent["samples"] * 0.5}
    with caplog.at_level(logging.WARNING):
        _, shown = run(comfy, sampled, word="mouse", latent=changed)
    assert "It matches an image" in shown["text"][0] and any(
        "It matches an image" in r.message for r in caplog.records
    )
