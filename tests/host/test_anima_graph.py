"""Anima in ComfyUI's own nodes: the network makes its columns of T5's tokens, and the text encoder reads Qwen's."""

import json
from pathlib import Path

import nodes
import pytest
import token_rig
import torch

PROMPT = "1girl, red scarf, (blue sky:1.2)"
pytestmark = pytest.mark.skipif("Anima" not in token_rig.known(), reason="this ComfyUI has no Anima")


@pytest.fixture(scope="module")
def clip():
    """ComfyUI's text encoder of Anima with its real tokenizers, and a small random Qwen."""
    from comfy.text_encoders import anima

    return token_rig.text_encoder(
        anima.AnimaTEModel, anima.AnimaTokenizer, {"qwen3_06b_model_config": {"num_hidden_layers": 2}}
    )


@torch.inference_mode()
def graph(model, clip):
    positive, negative = (nodes.CLIPTextEncode().encode(clip, text)[0] for text in (PROMPT, "blurry"))
    latent = token_rig.empty("Anima", height=16, width=16)
    (out,) = nodes.common_ksampler(model, 0, 2, 3.0, "euler", "simple", positive, negative, latent)
    return out


def test_words_are_recorded_and_steered(comfy, clip):
    model = token_rig.tiny("Anima")
    recorded, traced, attention = comfy.run_node("HRVRecordAttention", model=model, clip=clip)
    plain, latent = graph(model, clip), graph(recorded, traced)
    assert torch.equal(plain["samples"], latent["samples"])
    (run,) = attention.runs
    (entry,) = run.entries
    assert not run.warnings and entry.prompt.texts == [PROMPT] and entry.length == 512
    ids = [token[0] for token in clip.tokenize(PROMPT)["t5xxl"][0]]
    tokenizer = clip.tokenizer.t5xxl.tokenizer
    for word in ("scarf", "blue", "sky"):
        columns = entry.prompt.find(word).columns
        assert tokenizer.decode([ids[column] for column in columns]).strip() == word
        assert set(columns) <= set(entry.columns) and max(entry.columns) < len(ids)
    _, heat, _, names = comfy.run_node("HRVHeatmap", attention=attention, latent=latent, words="")
    assert names == ["1girl", "red scarf", "blue sky"] and heat.shape == (3, 128, 128)
    (path,) = comfy.run_node("HRVSaveAttention", attention=attention, latent=latent, filename_prefix="anima")
    loaded, again = comfy.run_node("HRVLoadAttention", name=f"{Path(path).name} [output]")
    assert torch.equal(comfy.run_node("HRVHeatmap", attention=loaded, latent=again, words="")[1], heat)
    (heads,) = comfy.run_node("HRVFilterHeads", attention=attention, part="cross", grid="all", indices="")
    steered, _ = comfy.run_node("HRVScaleHeads", model=recorded, heads=heads, words="red scarf", factor=0.0)
    assert not torch.equal(graph(steered, traced)["samples"], plain["samples"])
    assert not attention.runs[-1].warnings
    data = comfy.run_node("HRVWordEffect", model=model, clip=clip, attention=attention, latent=latent)[-1]
    words = json.loads(data)["pictures"][0]["words"]
    assert {word["name"] for word in words} == set(names) and all(word["effect"] > 0 for word in words)
