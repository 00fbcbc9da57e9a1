"""Checks of what the pack knows of text encoders and of CLIP's tokenizer."""

from __future__ import annotations

import inspect
import types

import comfy.sd as sd
import comfy.sd1_clip as sd1_clip
import rig
import torch
from comfy import sdxl_clip
from comfy.text_encoders import sd2_clip
from fact_checks import fact

from hrv_pack.host.facts import text_encoder
from hrv_pack.host.text.clip_trace import TextRegistry, trace
from hrv_pack.hrv.prompt import END_ID, START_ID
from hrv_pack.hrv.prompt.typed_text import IDENTIFIER

WORDS = "a red cat"
LONG = ", ".join(["red cat"] * 40)


def tokens(text: str = WORDS):
    return rig.clip("sd1").tokenize(text)


@fact("text_encoder.CHUNK")
@torch.inference_mode()
def chunk(comfy):
    """Each chunk is encoded on its own, so that a long prompt is its chunks one behind the other."""
    clip, long = rig.clip("sd1"), tokens(LONG)
    assert {len(part) for part in long["l"]} == {text_encoder.CHUNK} and len(long["l"]) > 1
    whole = clip.encode_from_tokens(long)
    first = clip.encode_from_tokens({"l": long["l"][:1]})
    assert torch.allclose(whole[:, : text_encoder.CHUNK], first, atol=1e-5)


@fact("text_encoder.ENCODERS")
def encoders(comfy):
    found = {}
    for make in (sd1_clip.SD1Tokenizer, sdxl_clip.SDXLTokenizer, sd2_clip.SD2Tokenizer):
        found |= make().tokenize_with_weights(WORDS)
    assert set(found) == set(text_encoder.ENCODERS)


@fact("text_encoder.ADAPTED")
def adapted(comfy):
    from comfy.text_encoders.anima import AnimaTokenizer

    assert set(AnimaTokenizer().tokenize_with_weights(WORDS)) == set(text_encoder.ADAPTED)


@fact("text_encoder.METHODS")
def methods(comfy):
    """They are methods of every CLIP, and a subclass of its class may take its place."""
    traced = trace(rig.clip("sd1"), TextRegistry())
    for name in text_encoder.METHODS:
        assert inspect.isfunction(getattr(sd.CLIP, name)) and name in vars(type(traced).__mro__[1])


@fact("text_encoder.COND")
@torch.inference_mode()
def cond(comfy):
    assert rig.clip("sd1").encode_from_tokens(tokens(), return_dict=True)[text_encoder.COND].shape[1] == 77


@fact("text_encoder.embedding_of")
@torch.inference_mode()
def embedding_of(comfy):
    clip = rig.clip("sd1")
    forms = [{}, {"return_pooled": True}, {"return_dict": True}]
    found = [text_encoder.embedding_of(clip.encode_from_tokens(tokens(), **form)) for form in forms]
    found += [embedding for embedding, _ in clip.encode_from_tokens_scheduled(tokens())]
    assert all(torch.equal(one, found[0]) and one.shape == (1, 77, 24) for one in found)


@fact("text_encoder.tokenizer_of")
def tokenizer_of(comfy):
    found = text_encoder.tokenizer_of(rig.clip("sd1"), "l")
    assert found.inv_vocab[END_ID] and isinstance(found.pad_token, int)
    assert text_encoder.tokenizer_of(rig.clip("sd1"), "t5xxl") is None


@fact("text_encoder.lacks_encoder")
def lacks_encoder(comfy):
    from comfy.text_encoders import sd3_clip

    model = sd3_clip.SD3ClipModel(clip_l=False, clip_g=False, t5=False)
    clip = types.SimpleNamespace(cond_stage_model=model)
    assert all(text_encoder.lacks_encoder(clip, encoder) for encoder in ("l", "g", "t5xxl"))
    assert not text_encoder.lacks_encoder(rig.clip("sdxl"), "l")


@fact("text_encoder.tokenizer")
def tokenizer(comfy):
    """It is the tokenizer of all encoders, and marks a textual inversion as the pack does."""
    assert isinstance(rig.clip("sd1").tokenizer.clip_l, type(text_encoder.tokenizer()))
    assert text_encoder.tokenizer().embedding_identifier == IDENTIFIER


@fact("text_encoder.tokens_of")
def tokens_of(comfy):
    (found,) = text_encoder.tokens_of("a (cat:1.5)")
    ids, weights = zip(*found)
    assert ids[0] == START_ID and ids[3] == END_ID and weights[:4] == (1.0, 1.0, 1.5, 1.0)
    assert [token[:2] for token in tokens("a (cat:1.5)")["l"][0]] == [token[:2] for token in found]


@fact("text_encoder.piece_of")
def piece_of(comfy):
    (found,) = text_encoder.tokens_of(WORDS)
    assert [text_encoder.piece_of(token) for token, _ in found[1:4]] == ["a</w>", "red</w>", "cat</w>"]
