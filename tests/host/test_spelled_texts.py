"""Words of other text encoders than CLIP, by their real tokenizers, which ship with ComfyUI."""

import functools
import importlib
import types

import pytest
import torch

from hrv_pack.host.text.clip_trace import TextRegistry, find_prompt, trace

TEXT = "a (red:1.3) star, Café au lait, 東京 sand"


@functools.cache
def tokenizer(module: str, name: str):
    return getattr(importlib.import_module(f"comfy.text_encoders.{module}"), name)()


class FakeClip:
    """A CLIP of these tokenizers whose embeddings are random; `cut`: tokens that the model cuts off in front."""

    def __init__(self, module: str, name: str, keys: tuple[str, ...], cut: int = 0):
        self.tokenizer = tokenizer(module, name)
        self.cond_stage_model = types.SimpleNamespace()
        self.keys, self.cut = keys, cut

    def clone(self):
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def tokenize(self, text, **kwargs):
        return self.tokenizer.tokenize_with_weights(text, **kwargs)

    def encode_from_tokens(self, tokens):
        length = sum(len(chunk) for key in self.keys for chunk in tokens[key]) - self.cut
        seed = hash(str(tokens)) % 2**31
        return torch.randn(1, length, 8, generator=torch.Generator().manual_seed(seed))

    def encode_from_tokens_scheduled(self, tokens):
        return [[self.encode_from_tokens(tokens), {}]]


CLIPS = {
    "Flux": ("flux", "FluxTokenizer", ("t5xxl",)),
    "Z-Image": ("z_image", "ZImageTokenizer", ("qwen3_4b",)),
    "Qwen-Image": ("qwen_image", "QwenImageTokenizer", ("qwen25_7b",), 34),
    "Stable Diffusion 3": ("sd3_clip", "SD3Tokenizer", ("l", "t5xxl")),
    "Klein": ("flux", "KleinTokenizer", ("qwen3_4b",)),
}


@pytest.fixture(params=CLIPS)
def found(request):
    """(name, embedding, what leads back from it to the text, registry)."""
    module, name, *more = CLIPS[request.param]
    if not hasattr(importlib.import_module(f"comfy.text_encoders.{module}"), name):
        pytest.skip("not in this release")
    registry = TextRegistry()
    clip = trace(FakeClip(module, name, *more), registry)
    ((embedding, values),) = clip.encode_from_tokens_scheduled(clip.tokenize(TEXT))
    return request.param, embedding, values, registry, clip


def spelled(prompt, clip, name: str) -> str:
    """What the columns of a word decode to, by the tokenizer itself."""
    tokens = clip.tokenize(TEXT)
    ids = [token[0] for key in clip.keys for chunk in tokens[key] for token in chunk][clip.cut :]
    return [ids[column] for column in prompt.find(name).columns]


def test_words_have_their_columns(found):
    name, embedding, values, registry, clip = found
    for cond in ({"cross_attn": embedding}, {"cross_attn": embedding, **values}):
        prompt, warning = find_prompt(cond, [registry])
        assert warning is None and prompt.length == embedding.shape[1] and prompt.texts == [TEXT]
        key = clip.keys[-1]
        tokenizer = getattr(clip.tokenizer, key).tokenizer
        words = [word.text for word in prompt.words()]
        assert words[:2] == ["a", "red"] and {"star", "au", "lait", "sand"} <= set(words)
        for word in ("red", "star", "lait", "sand", "Café"):
            ids = spelled(prompt, clip, word)
            if name == "Stable Diffusion 3":  # CLIP's columns come first
                ids = [i for i, column in zip(ids, prompt.find(word).columns) if column >= 77]
                assert prompt.find(word).columns[0] < 77
            assert tokenizer.decode(ids).strip().strip(",").lower() == word.lower()
    kept = [column for column in prompt.recorded_columns]
    assert len(kept) < 60 and set(prompt.find("star").columns) <= set(kept)


def test_a_text_that_is_typed_later_is_read_in_the_same_way(found):
    _, embedding, _, registry, _ = found
    known = find_prompt({"cross_attn": embedding}, [registry])[0]
    assert registry.read(TEXT, embedding.shape[1]) == known


def test_columns_added_by_another_node(found):
    _, embedding, _, registry, _ = found
    longer = torch.cat([embedding, torch.randn(1, 30, 8)], 1)
    prompt, _ = find_prompt({"cross_attn": longer}, [registry])
    own = find_prompt({"cross_attn": embedding}, [registry])[0]
    assert prompt.length == embedding.shape[1] + 30 and prompt.find("star") == own.find("star")


def test_a_changed_embedding_is_told(found):
    _, embedding, values, registry, _ = found
    prompt, warning = find_prompt({"cross_attn": embedding * 0.5, **values}, [registry])
    assert prompt.find("star").columns and "changed the prompt's conditioning" in warning


def test_columns_that_the_network_makes_of_ids():
    """Anima: its text encoder reads Qwen's tokens, and the columns are T5's."""
    if importlib.util.find_spec("comfy.text_encoders.anima") is None:
        pytest.skip("not in this release")
    registry = TextRegistry()
    clip = trace(FakeClip("anima", "AnimaTokenizer", ("qwen3_06b",)), registry)
    tokens = clip.tokenize(TEXT)
    ids = torch.tensor([token[0] for token in tokens["t5xxl"][0]], dtype=torch.int)
    ((embedding, values),) = clip.encode_from_tokens_scheduled(tokens)
    assert embedding.shape[1] != len(ids)
    tokenizer = clip.tokenizer.t5xxl.tokenizer
    for cond in ({"cross_attn": embedding * 0.5}, {"cross_attn": embedding, **values}):
        prompt, warning = find_prompt({**cond, "t5xxl_ids": ids}, [registry])
        assert warning is None and prompt.length == len(ids) and prompt.texts == [TEXT]
        for word in ("red", "star", "lait", "sand"):
            found = [int(ids[column]) for column in prompt.find(word).columns]
            assert tokenizer.decode(found).strip().strip(",").lower() == word
    assert find_prompt({"cross_attn": embedding, **values, "t5xxl_ids": ids}, []) == (prompt, None)
    assert registry.read(TEXT, 512) == prompt
