"""Checks of what the pack knows of ComfyUI's transformers (Flux, Z-Image and the like)."""

from __future__ import annotations

import functools
import importlib
import inspect

import comfy.ldm.modules.attention as host_attention
import token_rig
import torch
from comfy import model_base
from fact_checks import fact

from hrv_pack.host.facts import attention, families, options, wrappers
from hrv_pack.host.facts.wrappers import APPLY_MODEL

FAMILY = "Flux Kontext"


@functools.cache
def seen() -> tuple[dict, list[tuple]]:
    """What the small Flux is called with in a sampling, and (kind, number) of the block of each of its attentions."""
    model, given, blocks = token_rig.tiny(FAMILY).clone(), {}, []
    inner = dict(model.model_options["transformer_options"])

    def override(function, *args, **kwargs):
        now = kwargs["transformer_options"]
        blocks.append((now[options.BLOCK_TYPE], now[options.BLOCK_INDEX]))
        return function(*args, **kwargs)

    def wrapper(executor, *args, **kwargs):
        given.update(kwargs)
        return executor(*args, **kwargs)

    model.model_options["transformer_options"] = {**inner, options.OPTIMIZED_ATTENTION_OVERRIDE: override}
    model.add_wrapper_with_key(APPLY_MODEL, "facts", wrapper)
    prompt = token_rig.prompt(FAMILY)
    token_rig.draw(model, prompt, prompt, token_rig.empty(FAMILY), steps=1, cfg=1.0)
    return given, blocks


@fact("families.FAMILIES")
def families_there(comfy):
    """The class of each family is where its row says, if this release has the family at all."""
    there = 0
    for family in families.FAMILIES:
        module, _, name = family.network.partition(":")
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError:
            continue
        assert hasattr(found, name), f"{family.name}: {module} has no {name}"
        there += 1
    assert there >= 5
    for name in token_rig.known():
        network = token_rig.tiny(name).model.diffusion_model
        layout = families.family_of(network).layout(network)
        assert [(block.part, block.heads) for block in layout.blocks] == list(token_rig.SHAPES[name].layers)


@fact("attention.ATTENTION_GIVEN")
def attention_given(comfy):
    names = tuple(inspect.signature(host_attention.attention_pytorch).parameters)
    assert names[: len(attention.ATTENTION_GIVEN)] == attention.ATTENTION_GIVEN


@fact("attention.attend")
def attend(comfy):
    """It takes heads that stand apart, and gives them in the form that was asked for."""
    q, k, v = (torch.randn(2, 3, tokens, 8) for tokens in (5, 7, 7))
    expected = (q @ k.mT / 8**0.5).softmax(-1) @ v
    for given in ({"heads": 3, "mask": None}, {"heads": 3, "skip_output_reshape": True}):
        found = attention.attend(host_attention.attention_pytorch, q, k, v, given)
        found = attention.of_tokens(found, given).flatten(2)
        assert torch.allclose(found, expected.transpose(1, 2).flatten(2), atol=1e-5)


@fact("attention.of_tokens")
def of_tokens(comfy):
    q = torch.randn(2, 3, 5, 8)
    apart = host_attention.attention_pytorch(q, q, q, 3, skip_reshape=True, skip_output_reshape=True)
    together = host_attention.attention_pytorch(q, q, q, 3, skip_reshape=True)
    assert torch.equal(attention.of_tokens(apart, {"skip_output_reshape": True}).flatten(2), together)


@fact("attention.calls_fused_kernel")
def calls_fused_kernel(comfy):
    """An override is given the function itself, without what looks for overrides."""
    found, q = [], torch.randn(1, 2, 5, 8)

    def override(function, *args, **kwargs):
        found.append(attention.calls_fused_kernel(function))
        return function(*args, **kwargs)

    given = {options.OPTIMIZED_ATTENTION_OVERRIDE: override}
    for function in (host_attention.attention_pytorch, host_attention.attention_sub_quad):
        function(q, q, q, 2, skip_reshape=True, transformer_options=given)
    assert found == [True, False] and attention.calls_fused_kernel(host_attention.attention_pytorch)


@fact("attention.attention_chosen")
def attention_chosen(comfy):
    chosen = attention.attention_chosen()
    assert chosen.__name__.startswith("attention_") and chosen is host_attention.optimized_attention


@fact("families.REFERENCES")
def references(comfy):
    (latent,) = seen()[0][families.REFERENCES]
    assert tuple(latent.shape[-2:]) == (10, 6)


@fact("options.BLOCK_TYPE")
def block_type(comfy):
    assert [kind for kind, _ in seen()[1]] == ["double"] * 2 + ["single"] * 3
    assert options.BLOCK_TYPE == "block_type"


@fact("options.BLOCK_INDEX")
def block_index(comfy):
    assert [index for _, index in seen()[1]] == [0, 1, 0, 1, 2]
    assert options.BLOCK_INDEX == "block_index"


@fact("wrappers.APPLY_MODEL_GIVEN")
def apply_model_given(comfy):
    names = tuple(inspect.signature(model_base.BaseModel.apply_model).parameters)[1:]
    assert names[: len(wrappers.APPLY_MODEL_GIVEN)] == wrappers.APPLY_MODEL_GIVEN
