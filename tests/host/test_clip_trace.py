"""The traced CLIP: encodes the same numbers, follows its clones, leaves the original alone."""

import models
import nodes
import pytest
import rig
import torch

from hrv_pack.host.text.clip_trace import TAG, TextRegistry, find_prompt, trace
from hrv_pack.host.text.clip_trace import tokenize_text as tokenize


@pytest.fixture
def registry():
    return TextRegistry()


@pytest.fixture
def traced(registry):
    return trace(rig.clip("sdxl"), registry)


def as_sampled(conditioning) -> dict:
    embedding, values = conditioning[0]
    return {**values, "cross_attn": embedding}


def test_the_embedding_is_the_same_and_the_original_is_left_alone(traced):
    original = rig.clip("sdxl")
    plain, noted = rig.encode(original, "a (red:1.2) cat"), rig.encode(traced, "a (red:1.2) cat")
    assert torch.equal(plain[0][0], noted[0][0])
    assert TAG in noted[0][1] and TAG not in plain[0][1]
    assert not hasattr(original, "hrv_registries")


def test_every_way_to_encode_is_noted(traced, registry):
    tokens = traced.tokenize("a cat")
    embeddings = {
        "tensor": traced.encode_from_tokens(tokens),
        "pair": traced.encode_from_tokens(tokens, return_pooled=True)[0],
        "dict": traced.encode_from_tokens(tokens, return_dict=True)["cond"],
        "text": traced.encode("a cat"),
    }
    for way, embedding in embeddings.items():
        prompt, warning = registry.prompt_of({"cross_attn": embedding})  # by its content alone
        assert warning is None and [w.text for w in prompt.words()] == ["a", "cat"], way


def test_clones_by_other_nodes_go_on_tracing(traced, registry):
    (skipped,) = nodes.CLIPSetLastLayer().set_last_layer(traced, -1)
    prompt, _ = registry.prompt_of(as_sampled(rig.encode(skipped.clone(), "two dogs")))
    assert prompt.text == "two dogs"


def test_two_recorders_on_one_clip(traced, registry):
    other = TextRegistry()
    conditioning = as_sampled(rig.encode(trace(traced, other), "two dogs"))
    for one in (registry, other):
        prompt, warning = one.prompt_of(conditioning)
        assert warning is None and prompt.text == "two dogs"


def test_a_registry_that_did_not_see_the_prompt_takes_the_tag(traced):
    """The clip came through one recorder, the model through another: the tag knows, and nothing was changed."""
    prompt, warning = TextRegistry().prompt_of(as_sampled(rig.encode(traced, "two dogs")))
    assert warning is None and prompt.text == "two dogs"


def test_a_tag_of_another_length_is_not_believed(traced, registry):
    values = as_sampled(rig.encode(traced, "two dogs"))
    values["cross_attn"] = torch.randn(1, 100, rig.WIDTH["sdxl"])
    assert registry.prompt_of(values) == (None, None)


def test_a_prompt_for_each_picture_is_told(traced, registry):
    """As batch prompt schedules make it: the words of the first row are not those of the others."""
    texts = "a red cat on a mat", "two blue dogs in snow"
    rows = [as_sampled(rig.encode(traced, text)) for text in texts]
    rows[0]["cross_attn"] = torch.cat([row["cross_attn"] for row in rows])
    prompt, warning = registry.prompt_of(rows[0])
    assert prompt is None and "a different prompt for each image" in warning
    assert find_prompt(rows[0], [TextRegistry(), registry]) == (None, warning)
    rows[1]["cross_attn"] = rows[1]["cross_attn"].repeat(3, 1, 1)
    assert registry.prompt_of(rows[1])[0].text == texts[1]


def test_words_are_the_same_with_and_without_tracing(traced, registry):
    """`prompt_text` on the reading node finds the columns that tracing would have found."""
    text = "a (blue:1.3) bird, cowboy hat " * 12
    prompt, _ = registry.prompt_of(as_sampled(rig.encode(traced, text)))
    assert tokenize(text).tokens == prompt.tokens


def test_two_texts_of_sdxl():
    """Texts that differ between the two encoders: one set of columns, both texts' words."""
    registry = TextRegistry()
    tokenizer = rig.clip("sdxl").tokenizer
    first, second = (tokenizer.tokenize_with_weights(t)["l"] for t in ("a red cat", "oil painting"))
    prompt = registry.prompt({"l": first, "g": second})
    found = [(w.text, w.columns, w.encoders) for w in prompt.words()]
    assert found == [
        ("a", (1,), "l"), ("red", (2,), "l"), ("cat", (3,), "l"), ("oil", (1,), "g"), ("painting", (2,), "g")
    ]  # fmt: skip
    assert prompt.find("painting").columns == (2,)
    assert registry.prompt({"l": first, "g": first}).second is None


def test_other_text_encoders_are_let_through(registry):
    assert registry.prompt({"t5xxl": [[(1, 1.0)]]}) is None


def test_texts_with_different_embeddings_are_told_apart(tmp_path):
    import safetensors.torch

    registry = TextRegistry()
    clip = models.random_clip(rig.WIDTH["sdxl"])
    clip.tokenizer.clip_l.embedding_directory = [str(tmp_path)]
    for name in ("one", "two"):
        vector = torch.randn(1, rig.WIDTH["sdxl"])
        safetensors.torch.save_file({"emb_params": vector}, tmp_path / f"{name}.safetensors")
    traced = trace(clip, registry)
    one, two = traced.tokenize("a embedding:one"), traced.tokenize("a embedding:two")
    assert registry.prompt(one).text == "a embedding:one"
    assert registry.prompt(two).text == "a embedding:two"


def test_noting_never_stops_an_encoding(traced, registry, monkeypatch, caplog):
    monkeypatch.setattr(registry, "prompt", lambda tokens: 1 / 0)
    assert rig.encode(traced, "a cat")[0][0].shape[1] == 77
    assert "Could not note the words" in caplog.text


def test_the_registry_is_bounded(registry):
    for number in range(1100):
        registry.note_embedding(tokenize("x"), torch.full((1, 77, 2), float(number)))
    assert len(registry._chunks) == 1024
