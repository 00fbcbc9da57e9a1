"""Attend and Excite inside ComfyUI's samplers: the gradient against differences, what the sampler goes on from, and what must
stay as it is."""

from dataclasses import replace

import comfy.model_management
import comfy.ops
import comfy.patcher_extension
import models
import pytest
import rig
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from excite_rig import FIRST, SHORT, SMALL, complaints, draw, excited, shift_of, shifts

from hrv_pack.host import excited_sampling
from hrv_pack.host.attend_excite import excite
from hrv_pack.host.blocks import layout_of
from hrv_pack.host.gradients import levels_of
from hrv_pack.hrv.attend_excite import SHARPNESS, Excitement, small_grid, smoothed
from hrv_pack.hrv.known_layouts import SD1
from hrv_pack.hrv.vectors import HeadRelevance

WRAPPERS = comfy.patcher_extension.WrappersMP


@pytest.fixture(params=["sd1", "sdxl"])
def kind(request):
    return request.param


@pytest.fixture
def studio():
    return rig.studio()


# -- the gradient ---------------------------------------------------------------------------------------------------


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
    layers = small_grid(layout, levels_of(unet), (8, 16))
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
    shift_of(excited(studio), studio, latent={"samples": _as_latent(studio, SMALL["samples"], shift)})
    assert losses[1] < losses[0]


def _as_latent(studio, latent: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """A latent that, with the same noise, gives x + shift."""
    return latent + studio.model.model.process_latent_out(shift)


# -- what the sampler goes on from ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "ddpm", "euler_ancestral"])
def test_the_sampler_goes_on_from_the_moved_latent(studio, sampler):
    """Moving x before the first evaluation is sampling from the moved x, to the last step."""
    with shifts() as found:
        latent = draw(excited(studio, **FIRST), studio, sampler=sampler, steps=3)
    ((_, shift),) = found
    start = {"samples": _as_latent(studio, SMALL["samples"], shift)}
    wanted = draw(studio.model, studio, sampler=sampler, steps=3, latent=start)
    assert not torch.equal(latent, draw(studio.model, studio, sampler=sampler, steps=3))
    assert torch.allclose(latent, wanted, atol=1e-3 * float(wanted.abs().max()))


@pytest.mark.parametrize("sampler", ["heun", "dpmpp_2m_sde", "dpmpp_3m_sde", "uni_pc", "lcm", "euler_cfg_pp"])
def test_any_sampler(studio, sampler, caplog):
    latent = draw(excited(studio), studio, sampler=sampler, steps=3)
    assert torch.isfinite(latent).all() and complaints(caplog) == []
    assert not torch.equal(latent, draw(studio.model, studio, sampler=sampler, steps=3))


def test_the_step_follows_the_schedule(studio):
    """Twice the strength is twice the shift; it is smaller later; outside its part there is none."""
    whole = {"end_percent": 1.0}
    one, two = (shift_of(excited(studio, strength=s, **whole), studio) for s in (1.0, 2.0))
    assert torch.allclose(2 * one, two, rtol=1e-4)
    with shifts() as found:
        draw(excited(studio, end_percent=0.5), studio, steps=4)
    assert len(found) == 2
    with shifts() as found:
        draw(excited(studio, start_percent=0.5, end_percent=1.0), studio, steps=4)
    assert len(found) == 2


# -- batches, prompts, sizes ----------------------------------------------------------------------------------------


def test_every_picture_has_a_loss_of_its_own(kind):
    studio = rig.studio(kind)
    for cfg in (7.0, 1.0):
        together = shift_of(excited(studio), studio, latent=rig.empty(3, 8, 16), cfg=cfg)
        alone = shift_of(excited(studio), studio, cfg=cfg)
        assert torch.allclose(together[:1], alone, rtol=1e-3, atol=1e-5 * float(alone.abs().max()))
        assert not torch.allclose(together[1], together[0], rtol=0.1)


def test_only_where_the_area_lies(studio):
    """The word stands in a prompt for the left half, and in none for the whole."""
    left = [[studio.positive[0][0], {**studio.positive[0][1], "area": (16, 8, 0, 0), "strength": 1.0}]]
    whole = rig.encode(studio.clip, "a green field")
    with shifts() as found:
        rig.sample(excited(studio), left + whole, studio.negative, steps=1)
    shift = found[0][1]
    assert shift[..., :8].abs().max() > 0 and shift[..., 8:].abs().max() == 0


def test_combined_prompts_are_added(studio):
    """Each prompt that has the word has a loss of its own; a long one is padded, and so is its neighbour."""
    other = rig.encode(studio.clip, "the cat " + "very " * 80 + "big")
    alone = [shift_of(excited(studio), replace(studio, positive=p)) for p in (studio.positive, other)]
    both = shift_of(excited(studio), replace(studio, positive=studio.positive + other))
    assert torch.allclose(both, alone[0] + alone[1], rtol=1e-3, atol=1e-4 * float(both.abs().max()))


def test_two_nodes_are_added(studio):
    """Each with a loss and a step of its own, in one run of the network."""
    cat, mat = excited(studio, "cat"), excited(studio, "mat", strength=2.0)
    calls = []
    both = excited(excited(studio, "cat"), "mat", strength=2.0)
    both.add_wrapper_with_key(
        WRAPPERS.DIFFUSION_MODEL, "count", lambda executor, *a, **k: calls.append(1) or executor(*a, **k)
    )
    wanted = shift_of(cat, studio) + shift_of(mat, studio)
    assert torch.allclose(shift_of(both, studio), wanted, rtol=1e-3, atol=1e-5 * float(wanted.abs().max()))
    assert len(calls) == 2


def test_the_word_that_fares_worst_counts(studio):
    """The loss of two words is the larger of their losses."""
    one, two, both = (shift_of(excited(studio, words), studio) for words in ("cat", "mat", "cat, mat"))
    assert torch.allclose(both, one, rtol=1e-4) != torch.allclose(both, two, rtol=1e-4)


def test_without_words_the_nouns(studio):
    assert torch.equal(shift_of(excited(studio, ""), studio), shift_of(excited(studio, "cat"), studio))


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
    last = layout.blocks[small_grid(layout, levels_of(unet), (32, 48))[-1]].index
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
    assert levels_of(unet) == levels


# -- what must stay as it is ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["strength 0", "no such word", "outside"])
def test_nothing_to_do(kind, case, caplog):
    settings = {
        "strength 0": {"strength": 0.0},
        "no such word": {"words": "horse"},
        "outside": {"start_percent": 0.98, "end_percent": 0.99},
    }[case]
    studio = rig.studio(kind)
    assert torch.equal(draw(excited(studio, **settings), studio), draw(studio.model, studio))
    said = " ".join(complaints(caplog))
    wanted = {"strength 0": "", "no such word": "“horse” is not in the prompt", "outside": "changed nothing"}[
        case
    ]
    assert wanted in said and len(complaints(caplog)) == (1 if wanted else 0)


def test_a_prompt_that_was_not_traced(studio, caplog):
    plain = rig.encode(rig.clip("sdxl"), "a cat that nobody has traced")
    both = [rig.sample(m, plain, studio.negative, **SHORT) for m in (excited(studio), studio.model)]
    assert torch.equal(*both) and "CLIP that was not traced" in " ".join(complaints(caplog))


def test_its_own_clip(studio):
    model, clip = excite(studio.model, rig.clip("sdxl"), Excitement(("cat",)))
    positive = rig.encode(clip, "a red cat on a mat")
    assert torch.equal(rig.sample(model, positive, studio.negative, **SHORT), draw(excited(studio), studio))


def test_inpainting_leaves_what_is_kept(studio):
    """A mask's outside comes back as it was; inside, the picture is another one."""
    mask = torch.zeros(1, 1, 16, 24)
    mask[..., 12:] = 1
    latent = {
        "samples": torch.randn(1, 4, 16, 24, generator=torch.Generator().manual_seed(4)),
        "noise_mask": mask,
    }
    changed, plain = (
        draw(m, studio, latent=latent, steps=4) for m in (excited(studio, strength=5.0), studio.model)
    )
    assert torch.equal(changed[..., :12], plain[..., :12])
    assert not torch.equal(changed[..., 12:], plain[..., 12:])
    assert torch.equal(
        latent["samples"], torch.randn(1, 4, 16, 24, generator=torch.Generator().manual_seed(4))
    )


# -- the node -------------------------------------------------------------------------------------------------------


def test_the_node(comfy, kind):
    node = comfy.node_class("HRVAttendExcite")
    schema, inputs = node.GET_SCHEMA(), node.INPUT_TYPES()
    assert [i.id for i in schema.inputs] == [
        "model", "words", "strength", "start_percent", "end_percent", "vectors", "concept", "clip", "smoothing",
    ]  # fmt: skip
    assert [o.io_type for o in schema.outputs] == ["MODEL", "CLIP"]
    assert (
        inputs["required"]["start_percent"][1]["default"],
        inputs["required"]["end_percent"][1]["default"],
    ) == (0.0, 0.5)
    studio = rig.studio(kind)
    layout = studio.recording.layout
    votes = torch.randint(1, 50, (2, layout.heads), generator=torch.Generator().manual_seed(0))
    vectors = HeadRelevance.from_votes(("Animals", "Color"), votes, layout, {})
    model, clip = comfy.run_node(
        "HRVAttendExcite",
        model=studio.model,
        words="cat\nmat",
        strength=0.7,
        vectors=vectors,
        concept="color",
    )
    assert clip is None
    wanted = excited(studio, "cat, mat", strength=0.7, vectors=vectors, concept="Color")
    assert torch.equal(draw(model, studio), draw(wanted, studio))
    plain, clip = comfy.run_node(
        "HRVAttendExcite", model=studio.model, words="cat", strength=1.0, clip=rig.clip("sdxl")
    )
    assert "hrv_prompt" in rig.encode(clip, "a cat")[0][1]
    assert not torch.equal(draw(plain, studio), draw(model, studio))
    with pytest.raises(ValueError, match="no concept “Colour”"):
        comfy.run_node("HRVAttendExcite", model=studio.model, vectors=vectors, concept="Colour")
    wrong = HeadRelevance.from_votes(("A", "B"), torch.ones(2, 128, dtype=torch.int64), SD1, {})
    with pytest.raises(ValueError, match=f"for 128 heads.*has {layout.heads}|other places"):
        comfy.run_node("HRVAttendExcite", model=studio.model, vectors=wrong, concept="A")


def test_on_the_demo_checkpoint(comfy, caplog):
    """As a user has it: everything loaded by nodes, in inference mode."""
    model, clip, _ = comfy.run_node("HRVDemoCheckpoint")
    changed, traced = comfy.run_node("HRVAttendExcite", model=model, words="", strength=1.0, clip=clip)
    text = traced.encode_from_tokens_scheduled
    with torch.inference_mode():
        positive, negative = (text(traced.tokenize(t)) for t in ("a cat and a mug", ""))
    latent = rig.empty(1, 32, 32)
    both = [rig.sample(m, positive, negative, latent, steps=3, cfg=4.5) for m in (changed, model)]
    assert not torch.equal(*both) and complaints(caplog) == []
