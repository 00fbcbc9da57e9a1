"""Prompt Report in the real host: from sampling with a small random model to pages, text and data."""

import json

import pytest
import torch

INPUTS = [
    ("attention", "HRV_ATTENTION", None),
    ("latent", "LATENT", None),
    ("image", "IMAGE", None),
    ("unit", ["auto", "words", "tags"], "auto"),
    ("vectors", "HRV_VECTORS", None),
    ("prompt_text", "STRING", ""),
    ("model", "MODEL", None),
    ("clip", "CLIP", None),
]
OUTPUTS = ["grid", "report", "data"]


@pytest.fixture(scope="module")
def sampled(rig):
    return rig.studio("sdxl", "a red cat and a blue dog, (café:1.3) 😀").sample(batch=2)


def run(comfy, sampled, **more):
    image = torch.rand(2, 128, 192, 3, generator=torch.Generator().manual_seed(0))
    more = {"attention": sampled.recording, "latent": sampled.latent, "image": image, **more}
    return comfy.run_node_ui("HRVPromptReport", **more)


def test_the_sockets_are_those_of_the_contract(comfy):
    schema = comfy.node_class("HRVPromptReport").GET_SCHEMA()
    found = [
        (i.id, getattr(i, "options", None) or i.get_io_type(), getattr(i, "default", None))
        for i in schema.inputs
    ]
    assert found == INPUTS
    assert [i.id for i in schema.inputs if i.optional] == ["vectors", "prompt_text", "model", "clip"]
    assert [o.display_name for o in schema.outputs] == OUTPUTS and schema.is_output_node


def test_pages_text_and_data_of_a_batch(comfy, sampled):
    (grid, text, data), shown = run(comfy, sampled)
    assert grid.shape[0] == 2 and grid.shape[3] == 3 and grid.dtype == torch.float32
    assert text.startswith("# Prompt report") and "## Image 2" in text
    found = json.loads(data)
    words = [w["word"] for w in found["pictures"][1]["words"] if not w["filler"]]
    assert words == ["red", "cat", "blue", "dog", "café", "😀"]
    assert found["pictures"][0]["words"][-2]["weight"] == pytest.approx(1.3)
    assert [p["run_found"] for p in found["pictures"]] == [True, True]
    assert len(shown["images"]) == 2 and shown["text"][0].startswith("Image 1: ")


def test_what_the_words_changed(comfy):
    import effect_rig

    from hrv_pack.host.store.demo_checkpoint import load

    model, clip, recording, latent = effect_rig.recorded(load())
    given = {"attention": recording, "latent": {"samples": latent}, "image": torch.rand(1, 256, 256, 3)}
    (_, text, data), shown = comfy.run_node_ui("HRVPromptReport", **given, model=model, clip=clip)
    assert "changed |" in text and "could not be measured" not in str(shown)
    words = json.loads(data)["pictures"][0]["words"]
    assert [w["word"] for w in words if w.get("effect", 0) > 0] == ["large", "red", "star", "sand"]
    (_, text, _), _ = comfy.run_node_ui("HRVPromptReport", **given)
    assert "changed |" not in text
    _, shown = comfy.run_node_ui("HRVPromptReport", **given, model=model)
    assert "Connect both" in str(shown)


def test_with_vectors_of_this_model_and_of_another(comfy, sampled):
    from hrv_pack.hrv.heads.known_layouts import SD1
    from hrv_pack.hrv.relevance.vectors import HeadRelevance

    layout = sampled.recording.layout
    votes = torch.randint(1, 9, (3, layout.heads), generator=torch.Generator().manual_seed(0))
    vectors = HeadRelevance.from_votes(("Animals", "Color", "Places"), votes, layout, {})
    (_, _, data), _ = run(comfy, sampled, vectors=vectors)
    senses = {s["word"]: s["concepts"] for s in json.loads(data)["pictures"][0]["senses"]}
    assert set(senses) == {"red", "cat", "blue", "dog", "café", "😀"}
    assert all(0 < share <= 1 for concepts in senses.values() for share in concepts.values())
    other = HeadRelevance(("A",), torch.ones(1, SD1.heads), SD1)
    with pytest.raises(ValueError, match="this model has"):
        run(comfy, sampled, vectors=other)


def test_a_latent_that_was_changed_is_answered_with_a_warning(comfy, sampled):
    _, shown = run(comfy, sampled, latent={"samples": sampled.latent["samples"] + 1})
    assert "It matches an image that did" in shown["text"][0]


def test_text_of_an_untraced_clip_is_read_from_prompt_text(comfy, rig):
    studio, text = rig.studio("sdxl"), "two big dogs and a red cat"
    positive = rig.encode(rig.clip("sdxl"), text)
    studio.latent = {"samples": rig.sample(studio.recorded, positive, studio.negative, rig.empty(2))}
    with pytest.raises(ValueError, match="type the prompt into prompt_text.$"):
        run(comfy, studio)
    (*_, data), _ = run(comfy, studio, prompt_text=text)
    traced = rig.sample(studio.recorded, rig.encode(studio.clip, text), studio.negative, rig.empty(2))
    (*_, expected), _ = run(comfy, studio, latent={"samples": traced})
    assert json.loads(data)["pictures"] == json.loads(expected)["pictures"]
