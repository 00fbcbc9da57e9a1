"""Attend and Excite's gradient against differences, and how much of the network it runs."""

import comfy.ops
import models
import pytest
import rig
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from excite_rig import FIRST, SMALL, as_latent, draw, excited, shift_of, shifts

from hrv_pack.host.facts.layers import layout_of
from hrv_pack.host.follow import excited_sampling
from hrv_pack.host.follow.gradients import levels_of
from hrv_pack.hrv.relevance.vectors import HeadRelevance
from hrv_pack.hrv.steer.attend_excite import SHARPNESS, small_grid, smoothed


def what_the_network_is_given(model, studio) -> dict:
    """Everything but the latent, for the positive prompt at the first evaluation."""
    seen = []

    def note(module, args, kwargs):
        seen.append({**kwargs, "timesteps": args[1], "transformer_options": {}})

    handle = model.model.diffusion_model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        draw(model, studio, cfg=1.0)
    finally:
        handle.remove()
    return seen[0]


def plain_loss(call: rig.Call, layout, layers, weights, columns, grid, smoothing: bool) -> float:
    """1 − max A_w of one word, in float64, from what went into the layers. weights: per head of these layers."""
    mean, head = 0.0, 0
    for number in layers:
        p = rig.probabilities(call, number, layout.blocks[number].heads)[0]  # (head, pixel, token)
        for one in p:
            mean = mean + weights[head] * one
            head += 1
    shares = torch.softmax(SHARPNESS * mean[:, 1:], dim=-1)  # the start token is the first
    maps = shares[:, [c - 1 for c in columns]].sum(-1).reshape(1, 1, *grid)
    return 1 - float((smoothed(maps) if smoothing else maps).max())


@pytest.mark.parametrize("smoothing", [True, False])
def test_the_gradient_is_that_of_differences(kind, smoothing):
    """The UNet in float64 and no code of ours but the word's columns: the loss changes along x as the shift says."""
    model = models.random_model(rig.CONFIG[kind], torch.float64)
    studio = rig.studio(kind, model=model)
    layout, unet = layout_of(model.model.diffusion_model), model.model.diffusion_model
    layers = small_grid(layout, levels_of(unet, layout), (8, 16))
    votes = torch.randint(1, 50, (2, layout.heads), generator=torch.Generator().manual_seed(0))
    vectors = HeadRelevance.from_votes(("Animals", "Color"), votes, layout, {})
    weights = torch.cat([vectors.of("Color")[layout.span(number)] for number in layers]).double()
    with shifts() as found:
        node = excited(studio, smoothing=smoothing, vectors=vectors, concept="Color", **FIRST)
        draw(node, studio)
    x, shift = (t.double() for t in found[0])
    sampling = model.model.model_sampling
    sigma = sampling.sigma_max.double()
    seen = sampling.calculate_input(sigma, x)
    part = sampling.calculate_input(sigma, torch.ones(1, dtype=torch.float64))
    gradient = (
        -(shift * part) / 20.0
    )  # the step at the start of the schedule; in units of what the network sees
    given = what_the_network_is_given(model, studio)
    columns = studio.positive[0][1]["hrv_prompt"].find("cat").columns

    @torch.inference_mode()
    def loss(latent) -> float:
        with rig.watch(model) as calls:
            unet(latent, **given)
        grids = {q.shape[1] for q in (calls[0].q[number] for number in layers)}
        ((height, width),) = {(h, w) for h, w in ((8, 16), (4, 8)) if {h * w} == grids}
        return plain_loss(
            calls[0], layout, layers, weights / weights.sum(), columns, (height, width), smoothing
        )

    generator = torch.Generator().manual_seed(1)
    directions = [gradient, torch.randn(gradient.shape, generator=generator, dtype=torch.float64)]
    for direction in directions:
        direction = direction / direction.norm()
        step = 1e-4
        difference = (loss(seen + step * direction) - loss(seen - step * direction)) / (2 * step)
        slope = float((gradient * direction).sum())
        assert difference == pytest.approx(slope, rel=2e-3, abs=1e-3 * float(gradient.norm()))
    assert float(gradient.norm()) > 1e-6


def test_the_loss_goes_down(kind, monkeypatch):
    """From where a small step has led, the word is looked at more."""
    studio, losses, real = rig.studio(kind), [], excited_sampling.neglect

    def noting(maps):
        losses.append(float(real(maps)))
        return real(maps)

    monkeypatch.setattr(excited_sampling, "neglect", noting)
    shift = shift_of(excited(studio, strength=0.2), studio)
    shift_of(excited(studio), studio, latent={"samples": as_latent(studio, SMALL["samples"], shift)})
    assert losses[1] < losses[0]


def test_the_network_runs_only_to_its_last_map(kind):
    """Output blocks behind the grid are not run, and blocks are as they were afterwards."""
    studio, latent = rig.studio(kind), rig.empty(1, 32, 48)
    unet = studio.model.model.diffusion_model
    ran, handles = [], []
    for number, block in enumerate(unet.output_blocks):
        handles.append(
            block[0].register_forward_hook(
                lambda m, i, o, number=number: ran.append((number, torch.is_inference_mode_enabled()))
            )
        )
    try:
        draw(excited(studio, **FIRST), studio, latent=latent)
    finally:
        for handle in handles:
            handle.remove()
    layout = layout_of(unet)
    last = layout.blocks[small_grid(layout, levels_of(unet, layout), (32, 48))[-1]].index
    assert max(number for number, inference in ran if not inference) == last < len(unet.output_blocks) - 1
    assert not [module for module in unet.modules() if "forward" in vars(module)]


@pytest.mark.parametrize(
    ("config", "levels"),
    [
        (models.SD1, [0, 0, 1, 1, 2, 2, 3, 2, 2, 2, 1, 1, 1, 0, 0, 0]),
        (models.SDXL, [1] * 4 + [2] * 60 + [1] * 6),
    ],
)
def test_levels(config, levels):
    """How often the latent has been halved on the way to each layer."""
    with torch.device("meta"):
        unet = UNetModel(**config, operations=comfy.ops.disable_weight_init)
    assert levels_of(unet, layout_of(unet)) == levels
