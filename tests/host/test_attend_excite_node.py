"""Attend and Excite inside ComfyUI's samplers: the gradient against differences, what the sampler goes on from, and what must
stay as it is."""

import contextlib
import copy
from dataclasses import replace

import comfy.model_management
import comfy.ops
import comfy.patcher_extension
import models
import pytest
import rig
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy_extras import nodes_pag
from stand_ins import replaced

from hrv_pack.host import attend_excite, excited_sampling
from hrv_pack.host.attend_excite import excite
from hrv_pack.host.blocks import layout_of
from hrv_pack.host.gradients import NormalTensors, levels_of
from hrv_pack.hrv.attend_excite import SHARPNESS, Excitement, small_grid, smoothed
from hrv_pack.hrv.known_layouts import SD1
from hrv_pack.hrv.vectors import HeadRelevance

WRAPPERS = comfy.patcher_extension.WrappersMP
SMALL = rig.empty(1, 8, 16)
SHORT = {"steps": 1, "latent": SMALL}
FIRST = {"end_percent": 0.05}  # only the first evaluation


@pytest.fixture(params=["sd1", "sdxl"])
def kind(request):
    return request.param


@pytest.fixture
def studio():
    return rig.studio()


def excited(studio_or_model, words="cat", clip=None, **settings):
    model = studio_or_model.model if isinstance(studio_or_model, rig.Studio) else studio_or_model
    names = tuple(word.strip() for word in words.split(",") if word.strip())
    return excite(model, clip, Excitement(names, **settings))[0]


def draw(model, studio, **options) -> torch.Tensor:
    return rig.sample(model, studio.positive, studio.negative, **{**SHORT, **options})


def complaints(caplog) -> list[str]:
    return [record.message for record in caplog.records if "[HRV]" in record.message]


@contextlib.contextmanager
def shifts():
    """(x before, shift) of every evaluation that was excited."""
    found, real = [], excited_sampling.ExcitedSampling.shift

    def noting(self, guider, x, timestep, model_options):
        before, shift = x.clone(), real(self, guider, x, timestep, model_options)
        if shift is not None:
            found.append((before, shift.clone()))
        return shift

    excited_sampling.ExcitedSampling.shift = noting
    try:
        yield found
    finally:
        excited_sampling.ExcitedSampling.shift = real


def shift_of(model, studio, **options) -> torch.Tensor:
    """What the first evaluation is moved by."""
    with shifts() as found:
        draw(model, studio, **options)
    return found[0][1]


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


# -- beside others --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["recorder", "excite"])
def test_with_the_recorder(studio, first):
    """The latent is that of exciting alone; what is recorded are the evaluations of the sampler."""
    alone = draw(excited(studio), studio, steps=3)
    if first == "recorder":
        both = excited(studio.recorded)
    else:
        both, _, studio.recording = rig.attach(excited(studio), None, rig.RecordOptions())
    with rig.watch(studio.model) as calls:
        latent = draw(both, studio, steps=3)
    assert torch.equal(latent, alone)
    run = rig.last_run(studio.recording)
    assert run.warnings == [] and studio.recording.match(latent)[0].exact
    assert run.entries[0].counts == [3]
    sampled = [call for call in calls if call.shape[0] == 2]  # with the negative prompt
    rig.assert_maps(run.entries[0], sampled, run.layout, studio.positive[0][0], tolerance=2e-3)


def test_steered_attention_is_what_counts(studio):
    """Steering acts in the additional run, too."""
    import steering_rig

    from hrv_pack.host.steering import steer

    steering = steering_rig.scaling(studio.recording.layout, "cat")
    plain = shift_of(excited(studio), studio)
    for model in (steer(excited(studio), None, steering)[0], excited(steer(studio.model, None, steering)[0])):
        shift = shift_of(model, studio)
        assert not torch.allclose(shift, plain, rtol=0.01)
        assert not torch.equal(draw(model, studio), draw(steer(studio.model, None, steering)[0], studio))


def test_a_lora(studio):
    key = "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight"
    weight = dict(studio.model.model.named_parameters())[key]
    patched = studio.model.clone()
    patched.add_patches(
        {key: ("diff", (torch.randn(weight.shape, generator=torch.Generator().manual_seed(2)),))}
    )
    shift = shift_of(excited(patched), studio)
    assert not torch.allclose(shift, shift_of(excited(studio), studio), rtol=0.01)
    assert not torch.equal(draw(excited(patched), studio), draw(patched, studio))


def test_perturbed_attention_guidance(studio, caplog):
    (model,) = nodes_pag.PerturbedAttentionGuidance().execute(excited(studio), 3.0).result
    latent = draw(model, studio)
    assert torch.isfinite(latent).all() and complaints(caplog) == []


@pytest.mark.parametrize("place", [("input", 4), ("output", 0, 1)])
def test_other_packs_attention_takes_part(studio, place, caplog):
    """As IPAdapter: what it adds in an earlier layer changes the way, and it still acts in the picture."""
    other = replaced(studio.model, *place)
    shift = shift_of(excited(other), studio)
    assert not torch.allclose(shift, shift_of(excited(studio), studio), rtol=0.01)
    assert complaints(caplog) == [] and not torch.equal(draw(excited(other), studio), draw(other, studio))


def test_control_signals_take_part(studio, caplog):
    """As a ControlNet: tensors from inference mode, added within the network, in lists that it empties."""
    signal = torch.randn(1, 128, 2, 4, generator=torch.Generator().manual_seed(6))

    def controlled(executor, x, timesteps, context, y, control, options, **kwargs):
        with torch.inference_mode():
            control = {"middle": [signal.expand(x.shape[0], -1, -1, -1).clone()]}
        return executor(x, timesteps, context, y, control, options, **kwargs)

    other = studio.model.clone()
    other.add_wrapper_with_key(WRAPPERS.DIFFUSION_MODEL, "control", controlled)
    shift = shift_of(excited(other), studio)
    assert not torch.allclose(shift, shift_of(excited(studio), studio), rtol=0.01)
    assert complaints(caplog) == [] and not torch.equal(draw(excited(other), studio), draw(other, studio))


def test_attention_without_a_gradient(studio):
    """As SageAttention: what it gives leads nowhere."""

    def dead_end(function, *args, **kwargs):
        return function(*args, **kwargs).detach()

    model = studio.model.clone()
    model.model_options["transformer_options"]["optimized_attention_override"] = dead_end
    shift = shift_of(excited(model), studio)
    assert torch.allclose(
        shift, shift_of(excited(studio), studio), rtol=1e-3, atol=1e-5 * float(shift.abs().max())
    )


def test_deep_copied_options(studio):
    model = excited(studio)
    model.model_options = copy.deepcopy(model.model_options)
    assert torch.equal(draw(model, studio), draw(excited(studio), studio))


def test_another_packs_forward_on_a_block_stays(studio):
    unet = studio.model.model.diffusion_model
    block = unet.middle_block[0]
    calls, real = [], block.forward

    def forward(*args, **kwargs):
        calls.append(1)
        return real(*args, **kwargs)

    block.forward = forward
    try:
        draw(excited(studio, **FIRST), studio)
        assert (
            block.forward is forward and len(calls) == 3
        )  # there, again on the way back, and in the sampler's evaluation
    finally:
        del block.forward


def test_weights_that_were_loaded_in_inference_mode(kind):
    """As the loader nodes leave them: the same shift as with ordinary weights, without a copy of them."""
    with torch.inference_mode():
        model = models.random_model(rig.CONFIG[kind])
    assert all(p.is_inference() for p in model.model.diffusion_model.parameters())
    studio = rig.studio(kind)
    assert torch.equal(shift_of(excited(model), studio), shift_of(excited(studio), studio))


def test_half_precision_weights(caplog):
    """The shift of the same weights in single precision, nearly."""
    half = models.random_model(models.TINY_SDXL, torch.float16)
    half.model.load_state_dict(rig.tiny("sdxl").model.state_dict())
    studio = rig.studio("sdxl", model=half)
    shift, wanted = shift_of(excited(studio), studio), shift_of(excited(rig.tiny("sdxl")), studio)
    assert complaints(caplog) == [] and shift.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(shift.flatten(), wanted.flatten(), dim=0) > 0.9


def test_weights_whose_memory_is_used_again():
    """A host that streams weights overwrites them before the way back: the gradient is that of the weights it used."""
    with torch.inference_mode():
        memory = torch.eye(4)
    x = torch.randn(2, 4, requires_grad=True)
    with NormalTensors(copy_weights=True):
        once = torch.nn.functional.linear(x, memory)
    with torch.inference_mode():
        memory.fill_(7.0)
    (gradient,) = torch.autograd.grad(once.sum(), x)
    assert torch.equal(gradient, torch.ones(2, 4))


# -- when something goes wrong --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "error", "fragment"),
    [
        ("neglect", torch.cuda.OutOfMemoryError("no memory"), "memory ran out). The rest of the picture is made without it: its gr"),
        ("word_maps", RuntimeError("broken"), "RuntimeError: broken"),
        ("weighted_map", MemoryError(), "memory ran out"),
        ("find_prompt", RuntimeError("broken"), "stopped while reading the prompts"),
    ],
)  # fmt: skip
def test_whatever_goes_wrong_the_picture_is_made(studio, monkeypatch, caplog, name, error, fragment):
    def failing(*args, **kwargs):
        raise error

    monkeypatch.setattr(excited_sampling, name, failing)
    assert torch.equal(draw(excited(studio), studio), draw(studio.model, studio))
    (complaint,) = complaints(caplog)
    assert fragment in complaint
    assert not [m for m in studio.model.model.diffusion_model.modules() if "forward" in vars(m)]


def test_memory_that_ends_later_leaves_the_steps_before(studio, monkeypatch, caplog):
    real, calls = excited_sampling.neglect, []

    def starving(maps):
        calls.append(1)
        if len(calls) == 2:
            raise torch.cuda.OutOfMemoryError("no memory")
        return real(maps)

    with shifts() as found:
        monkeypatch.setattr(excited_sampling, "neglect", starving)
        draw(excited(studio), studio, steps=8)
    assert len(found) == 1 and len(complaints(caplog)) == 1


def test_a_gradient_that_is_no_number(studio, monkeypatch, caplog):
    monkeypatch.setattr(excited_sampling, "neglect", lambda maps: maps.flatten(1).sum(-1) * float("nan"))
    assert torch.equal(draw(excited(studio), studio), draw(studio.model, studio))
    assert "its gradient was no number" in " ".join(complaints(caplog))


def test_cancel(studio, monkeypatch):
    """In the middle of the additional run; the next sampling is as ever."""
    model, stopped = excited(studio), comfy.model_management.InterruptProcessingException

    def cancelled(maps):
        comfy.model_management.interrupt_current_processing(True)
        return real(maps)

    real = excited_sampling.neglect
    monkeypatch.setattr(excited_sampling, "neglect", cancelled)
    with pytest.raises(stopped):
        draw(model, studio, steps=6)
    monkeypatch.undo()
    exciter = attend_excite.Exciter.of(model)
    assert exciter.sampling is None
    assert torch.equal(draw(model, studio), draw(excited(studio), studio))


def test_an_error_of_the_sampling_stays_an_error(studio):
    def patch(n, context, value, extra):
        raise RuntimeError("another pack's mistake")

    model = excited(studio)
    model.set_model_attn2_patch(patch)
    with pytest.raises(RuntimeError, match="another pack's mistake"):
        draw(model, studio)


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
