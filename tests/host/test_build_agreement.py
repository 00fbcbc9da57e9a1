"""Build Head Relevance by agreement: the plainest computation, continuing, merging, and what is refused."""

import json
import math

import comfy.model_management
import pytest
import rig
import token_rig
import torch
from test_build_node import PROMPTS, StopAt, make, models_hrv  # noqa: F401  a fixture

from hrv_pack.host.build import building as host_building
from hrv_pack.host.build.building import build
from hrv_pack.host.facts.weights_identity import weights_identity
from hrv_pack.host.store import demo_checkpoint
from hrv_pack.hrv.files.vector_files import read
from hrv_pack.hrv.relevance.agreement import sums_of
from hrv_pack.hrv.relevance.concepts import ConceptWords
from hrv_pack.hrv.relevance.merging import merge


def by_agreement(**more):
    return make(method="agreement", **more)


def test_relevance_is_that_of_a_plain_computation():
    """Maps from the layers' own queries and keys, one head at a time, in float64."""
    prompts = ["a red cat", "big dog, polar bear"]
    model, clip = rig.tiny("sd1"), rig.clip("sd1")
    with rig.watch(model) as calls:
        vectors, _, summary = by_agreement(model=model, prompts=prompts)
    assert "These prompts contained 5 words of 3 concepts" in summary
    layout, sums = vectors.layout, {}
    for text, words in zip(
        prompts,
        ({"Animals": ["cat"], "Colour": ["red"]}, {"Animals": ["dog", "polar bear"], "Size": ["big"]}),
    ):
        embedding = rig.encode(clip, text)[0][0]
        pieces = ["", *text.replace(",", " ,").split()]
        for concept, listed in words.items():
            for word in listed:
                columns = [pieces.index(part) for part in word.split()]
                maps = head_maps(calls, layout, embedding, columns)
                for head, score in enumerate(scores(maps)):
                    sums.setdefault(concept, [0.0] * layout.heads)[head] += max(0.0, score)
    for concept, total in sums.items():
        expected = [layout.heads * value / sum(total) for value in total]
        assert vectors.of(concept).tolist() == pytest.approx(expected, abs=0.02)
        assert max(expected) > 1.2, "heads must differ for this test to mean anything"


def head_maps(calls, layout, embedding, columns) -> list[torch.Tensor]:
    """(12, 12) float64 for each head: the mean over the word's tokens, on the working grid of a 96 × 96 picture."""
    found = rig.expected(calls, layout, embedding, columns)
    steps = 2
    maps = []
    for number, block in enumerate(layout.blocks):
        pixels = found[number].shape[-1]
        side = math.isqrt(pixels)
        for head in range(block.heads):
            own = found[number][0, head].reshape(1, len(columns), side, side) / steps
            large = torch.nn.functional.interpolate(own, (12, 12), mode="bicubic", align_corners=False)
            maps.append(large.clamp(min=0)[0].mean(0))
    return maps


def scores(maps: list[torch.Tensor]) -> list[float]:
    weights = [1 / math.sqrt(float(one.max() - one.min())) for one in maps]
    reference = sum(weight * one for weight, one in zip(weights, maps, strict=True))
    return [float(torch.corrcoef(torch.stack([one.flatten(), reference.flatten()]))[0, 1]) for one in maps]


def test_a_cancelled_build_goes_on_where_it_stopped(models_hrv):  # noqa: F811
    whole, _, _ = by_agreement()
    for file in models_hrv.iterdir():
        file.unlink()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        by_agreement(model=StopAt(6).model)  # in the third prompt
    (file,) = models_hrv.iterdir()
    assert "agreement" in file.name
    kept = read(file)
    assert sums_of(kept).seen.tolist() == [1, 1, 0]  # cat and red; dogs are no dog
    continued, chart, summary = by_agreement(earlier=kept)
    assert torch.allclose(continued.relevance, whole.relevance, atol=1e-5)
    assert sums_of(continued).seen.tolist() == sums_of(whole).seen.tolist()
    assert "5 of 5 prompts" in summary and chart.isfinite().all()
    again, _, summary = by_agreement(earlier=continued)
    assert torch.equal(again.relevance, continued.relevance) and "already been counted" in summary


def test_shares_of_the_prompts_and_other_seeds_add_up():
    whole, _, _ = by_agreement(prompts=[*PROMPTS[:3], "big"])
    first, _, _ = by_agreement(prompts=PROMPTS[:3])
    second, _, _ = by_agreement(prompts=["big"])
    assert torch.allclose(merge(first, second).relevance, whole.relevance, atol=1e-5)
    more, _, _ = by_agreement(prompts=PROMPTS[:3], seed=9, earlier=first)
    alone, _, _ = by_agreement(prompts=PROMPTS[:3], seed=9)
    assert torch.allclose(more.relevance, merge(first, alone).relevance, atol=1e-5)
    assert [part["seed"] for part in json.loads(more.metadata["construction"])["merged"]] == [3, 9]


def test_methods_and_missing_words_are_said():
    votes, _, _ = make(prompts=PROMPTS[:1], steps=1)
    with pytest.raises(ValueError, match="not built by agreement|with another method"):
        by_agreement(prompts=PROMPTS[:1], steps=1, earlier=votes)
    agreed, _, summary = by_agreement(prompts=PROMPTS[:1], steps=1)
    assert "No prompt contained a word of Size, so every head counts the same" in summary
    with pytest.raises(ValueError, match="by votes"):
        make(prompts=PROMPTS[:1], steps=1, earlier=agreed)
    with pytest.raises(
        ValueError, match="None of the prompts contains any of the concepts. words.*for example: cat"
    ):
        by_agreement(prompts=["a house"])


def test_no_more_than_one_recording_is_kept(monkeypatch):
    kept, draw = [], host_building.Builder._draw

    def watched(self, *args):
        draw(self, *args)
        kept.append(len(self._recorder.recording.runs))

    monkeypatch.setattr(host_building.Builder, "_draw", watched)
    by_agreement(prompts=[" ".join(["a red cat"] * 8)] * 3, side=256)
    assert kept == [1, 1, 1]


def test_the_node(comfy, models_hrv):  # noqa: F811
    """The built-in list of the demo world names all of its concepts."""
    inputs = {"model": rig.tiny("sd1"), "clip": rig.clip("sd1"), "steps": 1, "width": 64, "height": 64}
    vectors, _, _ = comfy.run_node(
        "HRVBuildVectors", **inputs, prompt_limit=12, concepts="demo", method="agreement"
    )
    assert vectors.votes is None and (sums_of(vectors).seen > 0).all()
    assert vectors.metadata["title"].startswith("Built by agreement")
    heads, _ = comfy.run_node("HRVSelectHeads", vectors=vectors, concept="Objects")
    assert (heads.weights > 0).sum() == -(-vectors.heads * 23 // 100)


def test_on_a_transformer(comfy):
    """By agreement as on a UNet, from P of joint attention; votes are refused, and the vectors steer that model."""
    prompts = {"a red cat": {"Objects": 3, "Colours": 2}, "a blue fish": {"Objects": 3, "Colours": 2}}
    words = ConceptWords("two", {"Objects": ("cat", "fish"), "Colours": ("red", "blue")})
    model, clip, _ = demo_checkpoint.load_transformer()
    given = {
        "steps": 1,
        "cfg": 1.0,
        "width": 128,
        "height": 128,
        "seed": 3,
        "draws": 1,
        "concepts": "general",
    }
    given |= {"prompts": "\n".join(prompts), "concept_words": words.to_text()}
    with token_rig.heard() as calls, torch.inference_mode():
        vectors, _, summary = build(model, clip, **given, method="agreement")
    assert "These prompts contained 4 words of 2 concepts; each of the 60 heads looked for them" in summary
    joint = [call for call in calls if call.q.shape[2] == call.k.shape[2] == 77 + 64]
    assert len(joint) == 2 * 6 and vectors.layout.heads == 60
    sums = {name: torch.zeros(60, dtype=torch.float64) for name in vectors.concepts}
    for number, columns in enumerate(prompts.values()):
        for concept, column in columns.items():
            maps = []
            for call in joint[6 * number : 6 * number + 6]:
                logits = call.q.double() @ call.k.double().repeat_interleave(10 // call.k.shape[1], 1).mT
                p = (logits / call.q.shape[-1] ** 0.5).softmax(-1)[0, :, 77:, column]
                maps += p.unflatten(-1, (8, 8)).unbind()
            sums[concept] += torch.tensor(scores(maps)).clamp(min=0)
    for concept, total in sums.items():
        expected = 60 * total / total.sum()
        assert vectors.of(concept).tolist() == pytest.approx(expected.tolist(), abs=0.02)
        assert float(expected.max()) > 1.2
    with pytest.raises(ValueError, match="not with this model .NextDiT.. Set method to agreement"):
        build(model, clip, **given)
    steered, _ = comfy.run_node(
        "HRVStrengthenConcept", model=model, clip=clip, vectors=vectors, concept="Objects", words="cat"
    )
    assert "hrv_steer" in steered.wrappers["outer_sample"]
    assert len({weights_identity(token_rig.tiny(name)) for name in ("Flux", "Chroma", "AuraFlow")}) == 3
