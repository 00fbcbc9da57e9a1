"""A conditioning made again with another text: what other nodes put into it stays, and it is what that text alone would have given."""

import importlib

import comfy.sampler_helpers
import models
import nodes
import pytest
import rig
import torch
from comfy_extras import nodes_clip_sdxl

from hrv_pack.host.store.demo_checkpoint import load
from hrv_pack.host.text.clip_trace import TextRegistry, trace, untraced
from hrv_pack.host.text.typed_texts import TYPED, CannotEncode, TypedCond, TypedTexts, check_same


def conds(conditioning):
    return comfy.sampler_helpers.convert_cond(conditioning)


@pytest.fixture(scope="module")
def demo():
    _, clip, _ = load()
    return trace(clip, TextRegistry())


def both(clip, g: str, l: str):  # noqa: E741
    with torch.inference_mode():
        return nodes_clip_sdxl.CLIPTextEncodeSDXL.execute(clip, 256, 256, 0, 0, 256, 256, g, l).result[0]


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_one_text(kind):
    clip = trace(rig.clip(kind), TextRegistry())
    whole, part = (rig.encode(clip, text) for text in ("a (red:1.3) cat", "a cat"))
    (limited,) = nodes.ConditioningSetArea().append(whole, 48, 64, 0, 0, 0.8)
    (cond,) = conds(limited)
    again = TypedCond(cond).encode_again(untraced(clip), {"a (red:1.3) cat": "a cat"})
    assert (
        torch.equal(again["cross_attn"], part[0][0])
        and again["area"] == cond["area"]
        and again["strength"] == 0.8
    )
    assert again["uuid"] != cond["uuid"]
    check_same(cond, TypedCond(cond).encode_again(untraced(clip), {}))


def test_long_texts_and_two_texts(demo):
    long = "very " * 90
    for g, l, changed in (  # noqa: E741
        ("a red star", "good, sharp", "a star"),
        (f"{long} a red star", "good", f"{long} a star"),
        ("a red star", f"good {long}", "a star"),
    ):  # noqa: E741
        (cond,) = conds(both(demo, g, l))
        (wanted,) = conds(both(demo, changed, l))
        assert dict(cond[TYPED].texts) == {"g": g, "l": l}
        again = TypedCond(cond).encode_again(untraced(demo), {g: changed})
        assert torch.equal(again["cross_attn"], wanted["cross_attn"])
        assert (
            torch.equal(again["pooled_output"], wanted["pooled_output"]) and again["width"] == cond["width"]
        )


def test_what_cannot_be_made_again_says_so(demo):
    red, dog = (nodes.CLIPTextEncode().encode(demo, text)[0] for text in ("a red star", "a fish"))
    (cond,) = conds(nodes.ConditioningAverage().addWeighted(red, dog, 0.5)[0])
    with pytest.raises(CannotEncode, match="changed the prompt after it was encoded"):
        check_same(cond, TypedCond(cond).encode_again(untraced(demo), {}))
    (cond,) = conds(nodes.CLIPTextEncode().encode(untraced(demo), "a red star")[0])
    with pytest.raises(CannotEncode, match="not known"):
        TypedCond(cond).encode_again(untraced(demo), {})


def test_texts_put_together(demo):
    long = f"{'very ' * 90} a red star"
    for one, two in (("a red star", "a fish"), (long, "a fish"), ("a fish", long)):
        pair = (nodes.CLIPTextEncode().encode(demo, words)[0] for words in (one, two))
        (cond,) = conds(nodes.ConditioningConcat().concat(*pair)[0])
        assert TypedCond(cond).texts == [one, one, two, two]  # each for both text encoders
        check_same(cond, TypedCond(cond).encode_again(untraced(demo), {}))
        changed = TypedCond(cond).encode_again(untraced(demo), {two: "a tree"})
        pair = (nodes.CLIPTextEncode().encode(demo, words)[0] for words in (one, "a tree"))
        (wanted,) = conds(nodes.ConditioningConcat().concat(*pair)[0])
        assert torch.equal(changed["cross_attn"], wanted["cross_attn"])
        assert torch.equal(changed["pooled_output"], cond["pooled_output"])


def test_another_clip_is_told():
    (cond,) = conds(rig.encode(trace(rig.clip("sd1"), TextRegistry()), "a red star"))
    other = models.random_clip(rig.WIDTH["sd1"], seed=2)
    with pytest.raises(CannotEncode, match="clip skip"):
        check_same(cond, TypedCond(cond).encode_again(other, {}))


def test_encoding_without_tracing_leaves_the_registry_alone(demo):
    registry = TextRegistry()
    plain = untraced(trace(demo, registry))
    nodes.CLIPTextEncode().encode(plain, "a red star")
    assert not registry._texts and not registry._chunks and type(plain) is type(untraced(demo))


@pytest.mark.parametrize(
    ("module", "name", "encoders"),
    [
        ("flux", "FluxTokenizer", {"l", "t5xxl"}),
        ("qwen_image", "QwenImageTokenizer", {"qwen25_7b"}),
        ("sd3_clip", "SD3Tokenizer", {"l", "g", "t5xxl"}),
    ],
)
def test_texts_of_other_tokenizers(module, name, encoders):
    """The real ones, which ship with ComfyUI: of each encoder's tokens it is known what was typed."""
    tokenizer = getattr(importlib.import_module(f"comfy.text_encoders.{module}"), name)()
    texts = TypedTexts()
    for text in ("a red star", "a (blue:1.3) fish, 猫"):
        texts.note(text, tokenizer.tokenize_with_weights(text), {})
    star, fish = (tokenizer.tokenize_with_weights(text) for text in ("a red star", "a (blue:1.3) fish, 猫"))
    assert dict(texts.of(star).texts) == dict.fromkeys(encoders, "a red star")
    assert dict(texts.of(fish).texts) == dict.fromkeys(encoders, "a (blue:1.3) fish, 猫")
    assert texts.of(tokenizer.tokenize_with_weights("a dog")) is None
