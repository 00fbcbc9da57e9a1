"""Checks of what the pack knows of wrappers, guiders, rows and layers."""

from __future__ import annotations

import inspect
from unittest import mock

import comfy.ldm.modules.attention as attention
import comfy.model_base as model_base
import comfy.samplers as samplers
import models
import rig
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy_extras.nodes_custom_sampler import Guider_DualCFG
from fact_checks import CHECKS, fact
from sampling_seen import KINDS, NARROW, call, seen, while_sampling

from hrv_pack.host.facts import guider, layers, network, options, rows, sampler_call, wrappers

# -- wrappers ---------------------------------------------------------------------------------------------------


def names(function) -> tuple[str, ...]:
    return tuple(name for name in inspect.signature(function).parameters if name not in ("self", "kwargs"))


def kind_is_called(name: str):
    def check(comfy):
        assert getattr(wrappers, name) == getattr(KINDS, name)
        assert name == "APPLY_MODEL" or getattr(wrappers, name) in seen().calls

    return check


for key in ("OUTER_SAMPLE", "PREDICT_NOISE", "CALC_COND_BATCH", "DIFFUSION_MODEL", "APPLY_MODEL"):
    CHECKS[f"wrappers.{key}"] = kind_is_called(key)


@fact("wrappers.OUTER_SAMPLE_GIVEN")
def outer_sample_given(comfy):
    given = names(samplers.CFGGuider.outer_sample)
    assert given[: len(wrappers.OUTER_SAMPLE_GIVEN)] == wrappers.OUTER_SAMPLE_GIVEN


@fact("wrappers.PREDICT_NOISE_GIVEN")
def predict_noise_given(comfy):
    given = names(samplers.CFGGuider.predict_noise)
    assert given[: len(wrappers.PREDICT_NOISE_GIVEN)] == wrappers.PREDICT_NOISE_GIVEN


@fact("wrappers.CALC_COND_BATCH_GIVEN")
def calc_cond_batch_given(comfy):
    assert names(samplers.calc_cond_batch) == wrappers.CALC_COND_BATCH_GIVEN
    assert len(call(KINDS.CALC_COND_BATCH)[1]) == len(wrappers.CALC_COND_BATCH_GIVEN)


@fact("wrappers.DIFFUSION_MODEL_GIVEN")
def diffusion_model_given(comfy):
    given = names(UNetModel.forward)
    assert given[: len(wrappers.DIFFUSION_MODEL_GIVEN)] == wrappers.DIFFUSION_MODEL_GIVEN
    assert isinstance(call(KINDS.DIFFUSION_MODEL)[1][5], dict)


@fact("wrappers.TORCH_COMPILE")
def torch_compile(comfy):
    from comfy_api.torch_helpers import set_torch_compile_wrapper

    model = rig.tiny("sd1").clone()
    set_torch_compile_wrapper(model, backend="eager")
    assert model.get_wrappers(KINDS.APPLY_MODEL, wrappers.TORCH_COMPILE)


@fact("wrappers.owner_of")
def owner_of(comfy):
    assert isinstance(wrappers.owner_of(call(KINDS.OUTER_SAMPLE)[0]), samplers.CFGGuider)
    assert isinstance(wrappers.owner_of(call(KINDS.PREDICT_NOISE)[0]), samplers.CFGGuider)
    assert isinstance(wrappers.owner_of(call(KINDS.DIFFUSION_MODEL)[0]), UNetModel)


@fact("wrappers.unwrapped")
def unwrapped(comfy):
    unet = rig.tiny("sd1").model.diffusion_model
    assert wrappers.unwrapped(call(KINDS.DIFFUSION_MODEL)[0]).__self__ is unet


def wrapped_model():
    model = rig.tiny("sd1").clone()
    wrappers.add(model, wrappers.DIFFUSION_MODEL, "hrv_test", "wrapper")
    return model


@fact("wrappers.add")
def add(comfy):
    assert wrapped_model().get_wrappers(KINDS.DIFFUSION_MODEL, "hrv_test") == ["wrapper"]


@fact("wrappers.has")
def has(comfy):
    assert wrappers.has(wrapped_model(), KINDS.DIFFUSION_MODEL, "hrv_test")
    assert not wrappers.has(rig.tiny("sd1"), KINDS.DIFFUSION_MODEL, "hrv_test")


@fact("wrappers.first")
def first(comfy):
    assert wrappers.first(wrapped_model(), KINDS.DIFFUSION_MODEL, "hrv_test") == "wrapper"
    assert wrappers.first(rig.tiny("sd1"), KINDS.DIFFUSION_MODEL, "hrv_test") is None


@fact("wrappers.remove")
def remove(comfy):
    model = wrapped_model()
    wrappers.remove(model, KINDS.DIFFUSION_MODEL, "hrv_test")
    wrappers.remove(model, KINDS.APPLY_MODEL, "hrv_test")  # where there is none
    assert not model.get_wrappers(KINDS.DIFFUSION_MODEL, "hrv_test")


# -- guider -----------------------------------------------------------------------------------------------------


def guided():
    found = samplers.CFGGuider(rig.tiny("sd1"))
    found.set_conds(models.conditioning(), models.conditioning())
    found.set_cfg(6.5)
    return found


@fact("guider.NEGATIVE")
def negative(comfy):
    # the node DualCFGGuider has a list of each kind more
    assert [guider.NEGATIVE in name for name in seen().conds] == [False, True]


@fact("guider.conds_of")
def conds_of(comfy):
    """When a sampling begins, each conditioning has its uuid already."""
    conds = while_sampling(KINDS.OUTER_SAMPLE, lambda found, *_: dict(guider.conds_of(found)))
    assert set(conds) == {"positive", "negative"} and all("uuid" in cond for cond in conds["positive"])


@fact("guider.as_held")
def as_held(comfy):
    (held,) = guider.as_held([[torch.ones(1, 77, 8), {"pooled_output": None}]])
    assert torch.equal(held["cross_attn"], torch.ones(1, 77, 8)) and {"pooled_output", "uuid"} <= set(held)


@fact("guider.original_conds_of")
def original_conds_of(comfy):
    conds = while_sampling(KINDS.OUTER_SAMPLE, lambda found, *_: guider.original_conds_of(found))
    assert set(conds) == {"positive", "negative"} and all("cross_attn" in cond for cond in conds["positive"])


@fact("guider.POSITIVE")
def positive(comfy):
    assert list(seen().conds)[0] == guider.POSITIVE


@fact("guider.guidance_kept")
def guidance_kept(comfy):
    kept = guider.guidance_kept(guided())
    assert kept.kind is samplers.CFGGuider and dict(kept.settings) == {"cfg": 6.5}
    both = Guider_DualCFG(rig.tiny("sd1"))
    both.set_cfg(5.0, 2.0)
    kept = guider.guidance_kept(both)
    assert kept.kind is Guider_DualCFG and {"cfg1": 5.0, "cfg2": 2.0}.items() <= kept.settings.items()


@fact("guider.ask")
def ask(comfy):
    made, weights = [], []
    conds = guider.original_conds_of(guided())
    other = [cond | {"cross_attn": cond["cross_attn"] + 1} for cond in conds["positive"]]
    latent, sigmas = torch.zeros(1, 4, 8, 8), torch.tensor([5.0, 0.0])

    def work(asked):
        weights.append(asked.weight)
        for instead in ({}, {"positive": "other"}):
            for estimate in (asked.estimate, asked.without_guidance):
                made.append(estimate(instead, torch.ones(1, 4, 8, 8), sigmas[:1]))

    guidance = guider.guidance_kept(guided())
    lists = conds | {"other": other}
    guider.ask(rig.tiny("sd1"), guidance, lists, latent, mask=None, sigmas=sigmas, work=work)
    assert weights == [6.5] and made[0].shape == (1, 4, 8, 8)
    own, alone, guided_other, alone_other = made
    moved = 6.5 * (alone_other - alone)
    assert bool(moved.any()) and torch.allclose(guided_other - own, moved, atol=1e-3 * float(own.abs().max()))


@fact("guider.evaluate_noised")
def evaluate_noised(comfy):
    seen, latent = [], torch.zeros(1, 4, 8, 8)
    patcher = rig.tiny("sd1").clone()
    patcher.add_wrapper_with_key(
        KINDS.OUTER_SAMPLE,
        "seen",
        lambda executor, *given, **named: seen.append(executor(*given, **named)) or seen[-1],
    )
    patcher.add_wrapper_with_key(
        KINDS.PREDICT_NOISE,
        "seen",
        lambda executor, x, sigma, *more: seen.append(x) or executor(x, sigma, *more),
    )
    positive = [[torch.ones(1, 77, rig.tiny("sd1").model.model_config.unet_config["context_dim"]), {}]]
    guider.evaluate_noised(
        patcher, positive, latent, sigmas=[5.0, 2.0], mask=None, seed=1, progress=lambda *_: None
    )
    first, second, result = seen
    assert torch.allclose(first / 5.0, second / 2.0, atol=1e-5) and first.std() > 3
    assert torch.equal(result, latent)


@fact("guider.patcher_of")
def patcher_of(comfy):
    assert guider.patcher_of(guided()) is rig.tiny("sd1")


@fact("guider.options_of")
def options_of(comfy):
    assert options.TRANSFORMER_OPTIONS in guider.options_of(guided())


@fact("guider.inner_model_of")
def inner_model_of(comfy):
    inner = while_sampling(KINDS.PREDICT_NOISE, lambda found, *_: guider.inner_model_of(found))
    assert isinstance(inner, model_base.BaseModel)


@fact("guider.guidance_of")
def guidance_of(comfy):
    assert guider.guidance_of(guided()) == 6.5


@fact("guider.evaluate")
def evaluate(comfy):
    def once_more(found, x, timestep, model_options, *_):
        lists = list(guider.conds_of(found).values())
        return x, guider.evaluate(guider.inner_model_of(found), lists, x, timestep, model_options)

    x, evaluated = while_sampling(KINDS.PREDICT_NOISE, once_more)
    assert [one.shape for one in evaluated] == [x.shape] * 2


# -- rows, layers, the call -------------------------------------------------------------------------------------


@fact("rows.chunks_of")
def chunks_of(comfy):
    """Row = chunk · batch + image, and each chunk's rows have its conditioning's embedding."""
    x, _, context = call(KINDS.DIFFUSION_MODEL)[1][:3]
    chunks = rows.chunks_of(x.shape[0], seen().options)
    for chunk in chunks:
        own = [
            cond for cond in seen().lists[chunk.number] if cond["uuid"] == chunk.uuid
        ]  # the list that it says
        assert torch.equal(
            context[chunk.rows][:, :NARROW], own[0]["model_conds"]["c_crossattn"].cond[:, :NARROW]
        )
    assert chunks


@fact("rows.Conditionings.owner")
def copies(comfy):
    """A positive conditioning with an area is copied, uuid and all, into the negative list."""
    positive, negative = ({cond["uuid"] for cond in conds} for conds in seen().lists)
    assert len(positive & negative) == 1


@fact("rows.go_innermost")
def go_innermost(comfy):
    """Wrappers of one kind run in the order of the dict, the first one outermost."""
    assert seen().order[:2] == ["one", "two"]


@fact("network.attention_in_layer")
@torch.inference_mode()
def attention_in_layer(comfy):
    """The host's attention with what a replacement is given is what the layer does without one."""
    (_, transformer), *_ = layers.transformers(rig.tiny("sd1").model.diffusion_model)
    x, context, asked = torch.randn(1, 24, 32), torch.randn(1, 77, 24), []
    original = attention.optimized_attention
    watched = lambda *args, **kwargs: (asked.append((args, kwargs)), original(*args, **kwargs))[1]  # noqa: E731
    with mock.patch.object(attention, "optimized_attention", watched):
        transformer.attn2(x, context=context)
        ((q, k, v, heads), given), *_ = asked
        extra = {"n_heads": heads, "attn_precision": given["attn_precision"]}
        out = network.attention_in_layer(q, k, v, extra, {})
    assert len(asked) == 2 and torch.equal(out, original(q, k, v, heads, attn_precision=None))
    assert "transformer_options" in given


@fact("network.has_foreign_forward")
def has_foreign_forward(comfy):
    for _, layer in layers.cross_attention_layers(rig.tiny("sd1").model.diffusion_model):
        assert not network.has_foreign_forward(layer)


@fact("sampler_call.SamplerCall.watch")
def watch(comfy):
    """The sampler's callback is given (step, denoised, noisy, steps)."""
    (step, denoised, noisy, steps), *_ = seen().shown
    assert (step, steps) == (0, 1) and denoised.shape == noisy.shape
    given = sampler_call.SamplerCall(None, (1, 2, 3, 4, 5, seen().shown.append), {})
    given.watch()
    assert callable(given.args[5])
