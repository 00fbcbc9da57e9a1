"""Checks of what the pack knows of ModelPatchers, of the UNet and of checkpoints."""

from __future__ import annotations

import functools
import inspect

import comfy.ldm.modules.attention as attention
import comfy.model_management as management
import models
import pytest
import rig
import torch
from comfy.ldm.modules.diffusionmodules import openaimodel
from fact_checks import CHECKS, fact

from hrv_pack.host.facts import checkpoint, memory, network, patcher
from hrv_pack.host.facts.families import followed_layout_of
from hrv_pack.host.facts.layers import layout_of, transformers
from hrv_pack.host.store import demo_checkpoint


def unet():
    return rig.tiny("sd1").model.diffusion_model


def a_transformer():
    return next(transformer for _, transformer in transformers(unet()))


def patched():
    """A clone with a patch on one weight, and an object patch."""
    model = rig.tiny("sd1").clone()
    name = next(key for key in model.model.state_dict() if key.endswith("attn2.to_q.weight"))
    assert model.add_patches({name: ("diff", (torch.ones(32, 32),))}, 1.0)
    model.add_object_patch("model_sampling", "another")
    return model, name


# -- ModelPatcher -----------------------------------------------------------------------------------------------


@fact("patcher.network_of")
def network_of(comfy):
    assert isinstance(patcher.network_of(rig.tiny("sd1")), openaimodel.UNetModel)


@fact("patcher.object_patches_of")
def object_patches_of(comfy):
    assert patcher.object_patches_of(patched()[0]) == {"model_sampling": "another"}


@fact("patcher.object_patches_backup_of")
def object_patches_backup_of(comfy):
    """What an object patch pushed aside lies there, for all clones to see, until the patches come off."""
    base = models.random_model(models.TINY_SD1)
    model, before = base.clone(), base.model.model_sampling
    another = torch.nn.Identity()
    model.add_object_patch("model_sampling", another)
    model.patch_model(load_weights=False)
    assert base.model.model_sampling is another
    assert patcher.object_patches_backup_of(base.clone()) == {"model_sampling": before}


@fact("patcher.is_patched")
def is_patched(comfy):
    assert patcher.is_patched(patched()[0]) and not patcher.is_patched(rig.tiny("sd1"))


@fact("patcher.original_weights")
def original_weights(comfy):
    model, name = patched()
    weights = patcher.original_weights(model)
    assert name.startswith(network.UNET) and torch.equal(weights[name], model.model.state_dict()[name])


@fact("patcher.model_sampling_of")
def model_sampling_of(comfy):
    assert patcher.model_sampling_of(patched()[0]) == "another"


@fact("patcher.sigma_at")
def sigma_at(comfy):
    model = rig.tiny("sd1")
    assert patcher.sigma_at(model, 0.0) > patcher.sigma_at(model, 0.5) > patcher.sigma_at(model, 1.0) == 0.0


@fact("patcher.highest_sigma")
def highest_sigma(comfy):
    assert 14 < patcher.highest_sigma(rig.tiny("sd1")) < 15


@fact("patcher.part_at")
def part_at(comfy):
    sampling = rig.tiny("sd1").model.model_sampling
    assert [patcher.part_at(sampling, sigma) for sigma in (100.0, 0.0)] == [0.0, 1.0]
    half = patcher.sigma_at(rig.tiny("sd1"), 0.5)
    assert abs(patcher.part_at(sampling, half) - 0.5) < 0.01


@fact("patcher.input_scale")
def input_scale(comfy):
    """The network is given c · x; for SD1 c = 1 / √(σ² + 1)."""
    assert patcher.input_scale(
        rig.tiny("sd1").model.model_sampling, torch.tensor([7.0])
    ).item() == pytest.approx(50**-0.5)


@fact("patcher.kind_of")
def kind_of(comfy):
    kinds = {kind: patcher.kind_of(rig.tiny(kind)) for kind in ("sd1", "sdxl")}
    assert kinds["sd1"] != kinds["sdxl"] and kinds["sd1"][1] == rig.CONFIG["sd1"]["context_dim"]


@fact("patcher.family_name_of")
def family_name_of(comfy):
    assert [patcher.family_name_of(rig.tiny(kind)) for kind in ("sd1", "sdxl")] == ["SD15", "SDXL"]


@fact("patcher.device_of")
def device_of(comfy):
    assert patcher.device_of(rig.tiny("sd1")) == torch.device(rig.tiny("sd1").load_device)


@fact("patcher.latent_out")
def latent_out(comfy):
    latent = torch.ones(1, 4, 2, 2)
    scaled = rig.tiny("sd1").model.process_latent_in(patcher.latent_out(rig.tiny("sd1"), latent))
    assert torch.allclose(scaled, latent)


# -- the UNet ---------------------------------------------------------------------------------------------------


@fact("network.UNET")
def the_unet(comfy):
    assert isinstance(getattr(rig.tiny("sd1").model, network.UNET), openaimodel.UNetModel)
    assert patched()[1].startswith(f"{network.UNET}.")


@fact("network.STAGES")
def stages(comfy):
    found = [part for part, name in network.STAGES if getattr(unet(), name) is not None]
    assert found == ["input", "middle", "output"]


@fact("network.TRANSFORMER_BLOCKS")
def transformer_blocks(comfy):
    spatial = unet().input_blocks[1][1]
    assert isinstance(spatial, attention.SpatialTransformer) and hasattr(spatial, network.TRANSFORMER_BLOCKS)


@fact("network.TIME_STACK")
def time_stack(comfy):
    assert f"self.{network.TIME_STACK} =" in inspect.getsource(attention.SpatialVideoTransformer.__init__)


@fact("network.PROJECTIONS")
def projections(comfy):
    assert set(network.PROJECTIONS) <= set(a_transformer().attn2._modules)


@fact("network.HEADS")
def heads(comfy):
    assert getattr(a_transformer().attn2, network.HEADS) == 4


@fact("network.COMPILED_FROM")
def compiled_from(comfy):
    module = torch.nn.Linear(2, 2)
    assert torch.compile(module)._modules[network.COMPILED_FROM] is module


@fact("network.without_compiled_code")
def without_compiled_code(comfy):
    calls = []
    made = torch.compile(
        torch.nn.Linear(2, 2), backend=lambda graph, inputs: calls.append(1) or graph.forward
    )
    with network.without_compiled_code():
        made(torch.ones(1, 2))
    assert not calls


@fact("network.is_compiled")
def is_compiled(comfy):
    by_function, in_place = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    assert not network.is_compiled(in_place) and network.is_compiled(torch.compile(by_function))
    in_place.compile()
    assert network.is_compiled(in_place)


@fact("network.KEYED_WEIGHTS")
def keyed_weights(comfy):
    for ending in network.KEYED_WEIGHTS:
        assert any(name.endswith(ending) for name in rig.tiny("sd1").model.state_dict())


@fact("network.has_no_self_attention")
def has_no_self_attention(comfy):
    assert network.has_no_self_attention(a_transformer()) is False
    only_cross = attention.BasicTransformerBlock(8, 2, 4, disable_self_attn=True)
    assert network.has_no_self_attention(only_cross) is True


@fact("network.halves")
def halves(comfy):
    assert sum(map(network.halves, unet().input_blocks)) == 3
    assert openaimodel.ResBlock(32, 8, 0.0, 32, down=True).updown


@fact("network.attention_pytorch")
def attention_pytorch(comfy):
    q = torch.randn(1, 4, 8, requires_grad=True)
    network.attention_pytorch(q, q, q, 2, attn_precision=None, transformer_options={}).sum().backward()
    assert q.grad is not None


def is_class_of(name: str, find):
    def check(comfy):
        assert isinstance(find(), getattr(network, name))

    return check


for key, find in (
    ("UNetModel", unet),
    ("BasicTransformerBlock", a_transformer),
    ("CrossAttention", lambda: a_transformer().attn2),
    ("ResBlock", lambda: unet().input_blocks[1][0]),
    ("Downsample", lambda: unet().input_blocks[3][0]),
):
    CHECKS[f"network.{key}"] = is_class_of(key, find)


@fact("layers.transformers")
def layer_order(comfy):
    """The key of a layer, by which replacements are looked up: the part, the block in it, the transformer in the block."""
    keys = [block.key for block in layout_of(unet()).blocks]
    assert keys[0] == ("input", 1, 0) and ("middle", 0, 0) in keys and keys[-1] == ("output", 11, 0)


# -- checkpoints ------------------------------------------------------------------------------------------------


@functools.cache
def demo():
    return demo_checkpoint.load()


@fact("checkpoint.sdxl_model")
def sdxl_model(comfy):
    model = demo()[0]
    assert isinstance(model, checkpoint.ModelPatcher) and layout_of(model.model.diffusion_model).blocks


@fact("checkpoint.lumina_model")
def lumina_model(comfy):
    model = demo_checkpoint.load_transformer()[0]
    assert isinstance(model, checkpoint.ModelPatcher) and followed_layout_of(model, "recorded").blocks


@fact("checkpoint.sdxl_clip")
def sdxl_clip(comfy):
    clip = demo()[1]
    assert clip.encode_from_tokens(clip.tokenize("red")).shape[:2] == (1, 77)


@fact("checkpoint.vae")
def vae(comfy):
    assert demo()[2].decode(torch.zeros(1, 4, 4, 4)).shape[-1] == 3


@fact("checkpoint.CLIP_ENCODERS")
def clip_encoders(comfy):
    clip = demo()[1]
    for encoder in checkpoint.CLIP_ENCODERS:
        assert getattr(clip.tokenizer, encoder) and getattr(clip.cond_stage_model, encoder)


@fact("checkpoint.VOCABULARY")
def vocabulary(comfy):
    assert len(demo()[1].tokenizer.clip_l.inv_vocab) == checkpoint.VOCABULARY


# -- memory -----------------------------------------------------------------------------------------------------


@fact("memory.free_memory")
def free_memory(comfy):
    assert memory.free_memory() > 0


@fact("memory.empty_cache")
def empty_cache(comfy):
    memory.empty_cache()


@fact("memory.intermediate_dtype")
def intermediate_dtype(comfy):
    assert management.intermediate_dtype() == memory.intermediate_dtype(torch.int8) == torch.float32
