"""ComfyUI's default graph, Z-Image-Turbo, with Record Attention put in: the same nodes, and a small random Z-Image behind them."""

from pathlib import Path

import nodes
import pytest
import rig
import token_rig
import torch
from comfy_extras import nodes_model_advanced, nodes_sd3

PROMPT = "a red star, a blue fish on sand"
SIDE = 128


@pytest.fixture(scope="module")
def clip():
    """ComfyUI's text encoder of Z-Image with its real tokenizer, and a small random Qwen."""
    from comfy.text_encoders import z_image

    config = {"qwen3_4b_model_config": {"num_hidden_layers": 3}}
    return token_rig.text_encoder(
        z_image.ZImageTEModel, z_image.ZImageTokenizer, config, model_name="qwen3_4b"
    )


@torch.inference_mode()
def graph(model, clip):
    """What the template's nodes make: CFG 1, 8 steps (here 2) of res_multistep, a zeroed negative prompt."""
    shift = nodes_model_advanced.ModelSamplingAuraFlow()
    (shifted,) = shift.patch_aura(model, 3.0)
    (positive,) = nodes.CLIPTextEncode().encode(clip, PROMPT)
    (negative,) = nodes.ConditioningZeroOut().zero_out(positive)
    latent = nodes_sd3.EmptySD3LatentImage.execute(SIDE, SIDE, 1).result[0]
    (out,) = nodes.common_ksampler(
        shifted, 0, 2, 1.0, "res_multistep", "simple", positive, negative, latent, denoise=1.0
    )
    return out


def test_the_default_graph(comfy, clip, tmp_path):
    model = token_rig.tiny("Z-Image")
    plain = graph(model, clip)
    recorded, traced, attention = comfy.run_node("HRVRecordAttention", model=model, clip=clip)
    latent = graph(recorded, traced)
    assert torch.equal(plain["samples"], latent["samples"])
    (run,) = attention.runs
    (entry,) = run.entries
    assert not run.warnings and entry.prompt.texts == [PROMPT]
    assert len(entry.columns) == len([t for t in entry.prompt.tokens if t.kind == "text"]) < entry.length
    image = torch.rand(1, SIDE, SIDE, 3)
    inputs = {"attention": attention, "latent": latent, "image": image}
    everything = comfy.run_node("HRVHeatmap", words="red star, fish", **inputs)
    text = comfy.run_node("HRVHeatmap", words="red star, fish", share="of the text", **inputs)
    assert everything[3] == ["red star", "fish"] and everything[1].shape == (2, SIDE, SIDE)
    assert not torch.allclose(everything[1], text[1], atol=1e-3)
    overlay, mask = comfy.run_node("HRVLens", words="fish", **inputs)
    assert torch.equal(mask[0], everything[2][1])
    heads, _ = comfy.run_node("HRVAutoHeads", word="fish", attention=attention, latent=latent)
    some = comfy.run_node("HRVHeatmap", words="fish", heads=heads, **inputs)[1]
    assert some.shape == (1, SIDE, SIDE) and float(some.max()) > 0
    (path,) = comfy.run_node("HRVSaveAttention", attention=attention, latent=latent, filename_prefix="z")
    loaded, again = comfy.run_node("HRVLoadAttention", name=f"{Path(path).name} [output]")
    same = comfy.run_node("HRVHeatmap", words="red star, fish", attention=loaded, latent=again, image=image)
    assert torch.equal(same[1], everything[1])
    back = comfy.run_node(
        "HRVHeatmap", words="red star, fish", share="of the text", attention=loaded, latent=again, image=image
    )
    assert torch.equal(back[1], text[1])


def test_shares_are_what_formulas_say(comfy, clip):
    model = token_rig.tiny("Z-Image")
    recorded, traced, attention = comfy.run_node("HRVRecordAttention", model=model, clip=clip)
    latent = graph(recorded, traced)
    (entry,) = attention.runs[0].entries
    place = [entry.columns.index(column) for column in entry.prompt.find("fish").columns]
    sums = [maps[0, 0].double() for maps in entry.maps.values()]
    everything = torch.cat([one[:, place] / entry.count() for one in sums]).mean((0, 1))
    text = torch.cat([one[:, place] / one[:, -1:] for one in sums]).mean((0, 1))
    for share, expected in (("of everything", everything), ("of the text", text)):
        from hrv_pack.hrv.maps.word_maps import Target, word_maps

        (match,) = attention.match(latent["samples"], share)
        target = Target(((entry, entry.prompt.find("fish").columns),))
        assert torch.allclose(word_maps(match, [target])[0].double(), expected, rtol=1e-5)


def test_share_says_where_it_does_not_matter(comfy):
    studio = rig.studio("sd1").sample()
    inputs = {"attention": studio.recording, "latent": studio.latent, "words": "cat"}
    plain = comfy.run_node("HRVHeatmap", **inputs)
    other = comfy.run_node("HRVHeatmap", share="of the text", **inputs)
    assert torch.equal(plain[1], other[1])
