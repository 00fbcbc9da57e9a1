"""Recording transformers: of each family the maps are what its attention computed, and the image is the same."""

import json

import comfy.model_management
import nodes
import pytest
import token_rig
import torch
from rig import ON_GPU
from stand_in_models import flux_control_net
from token_rig import SHAPES, draw, empty, prompt, studio, watch, witness

from hrv_pack.host.follow.base import following_tokens

BACKENDS = ("attention_sub_quad", "attention_pytorch", "attention_split")
HALF = 2e-3  # a value in half precision, as a share of itself


FAMILIES = token_rig.known()


@pytest.mark.parametrize("family", [pytest.param(name, marks=pytest.mark.way(name)) for name in FAMILIES])
def test_maps_are_the_attention(family):
    shape, found = SHAPES[family], studio(family)
    positive, negative = prompt(family, 9), prompt(family, 12, seed=1)
    latent = empty(family, batch=2)
    with watch(found.recorded) as (watched, calls):
        samples = draw(watched, positive, negative, latent)
    assert torch.equal(samples, draw(found.model, positive, negative, latent))
    run = found.run
    (warning,) = run.warnings  # the override that watches is another node's
    assert "Another node replaces this model's attention" in warning
    assert [(block.part, block.heads) for block in run.layout.blocks] == list(shape.layers)
    (entry,) = run.entries
    assert entry.role == "positive" and entry.count() == 2 and entry.batch == 2
    assert entry.has_mass == run.is_joint == shape.joint and not run.is_calibrated
    place = shape.place(9, 10, 14)
    own = [call for call in calls if 0 in call.chunks and place.has(call)]
    layers = len(shape.layers)
    first = 2 * own[0].chunks.index(0)
    expected = witness(own, place, slice(first, first + 2), layers)
    assert len(own) == 2 * layers and sorted(entry.maps) == list(range(layers))
    kept = [*entry.columns, *([entry.length] if shape.joint else [])]
    assert entry.length == max(9, shape.fills) and entry.columns == tuple(range(entry.length))
    for number, sums in enumerate(expected):
        maps = entry.maps[number].float().sum(1).double()
        assert maps.shape == (2, shape.layers[number][1], len(kept), *place.grid)
        assert torch.allclose(maps, sums[:, :, kept], rtol=HALF, atol=1e-7)
    assert found.recording.match(samples)[1].element == 1
    assert "optimized_attention_override" not in found.recorded.model_options["transformer_options"]


@pytest.mark.skipif(ON_GPU, reason="a card's kernels tell nothing")
@pytest.mark.parametrize("family", FAMILIES)
def test_sums_that_pytorch_attention_tells(family, monkeypatch):
    """Then recording multiplies the text's keys alone; the maps are what the attention computed all the same."""
    token_rig.choose("attention_pytorch", monkeypatch)
    told = []

    class Noted(following_tokens.LogSums):
        def __init__(self):
            super().__init__()
            told.append(self)

    monkeypatch.setattr(following_tokens, "LogSums", Noted)
    shape, found = SHAPES[family], studio(family)
    given, latent = prompt(family, 9), empty(family, batch=2)
    plain = draw(found.model, given, given, latent, steps=1, cfg=1.0)
    with token_rig.heard() as calls:
        assert torch.equal(draw(found.recorded, given, given, latent, steps=1, cfg=1.0), plain)
    layers, place = len(shape.layers), shape.place(9, 10, 14)
    assert len(told) == layers and all(sums.found is not None for sums in told)
    (entry,) = found.run.entries
    own = [call for call in calls if place.has(call)]
    kept = [*entry.columns, *([entry.length] if shape.joint else [])]
    for number, sums in enumerate(witness(own, place, slice(0, 2), layers)):
        maps = entry.maps[number].float().sum(1).double()
        assert torch.allclose(maps, sums[:, :, kept], rtol=HALF, atol=1e-7)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_image_is_the_same_with_every_backend(family, backend, monkeypatch):
    token_rig.choose(backend, monkeypatch)
    found = studio(family)
    positive, negative, latent = prompt(family), prompt(family, seed=1), empty(family)
    plain = draw(found.model, positive, negative, latent, steps=1)
    assert plain.isfinite().all() and torch.equal(
        plain, draw(found.recorded, positive, negative, latent, steps=1)
    )
    assert len(found.run.entries[0].maps) == len(SHAPES[family].layers)


def test_as_many_tokens_of_the_text_as_of_the_image():
    """Attention of the image alone then has the same form, and comes first in each block."""
    family, latent = "Cosmos-Predict2", empty("Cosmos-Predict2")
    found, given = studio(family), prompt(family, 5 * 7)
    with watch(found.recorded) as (watched, calls):
        draw(watched, given, given, latent, steps=1, cfg=1.0)
    place = SHAPES[family].place(35, 10, 14)
    assert len(calls) == 6 and all(map(place.has, calls))
    (entry,) = found.run.entries
    for number, expected in enumerate(witness(calls[1::2], place, slice(0, 1), 3)):
        maps = entry.maps[number].double().sum(1)
        assert torch.allclose(maps, expected[:, :, :35], rtol=HALF, atol=1e-7)


@pytest.mark.way("Wan with frames", maps="right, the mean over frames, with one warning")
def test_a_video(comfy, tmp_path, monkeypatch):
    """Every map is the mean over the frames, and says so; its latent finds it, as a file too."""
    family, latent = "Wan", empty("Wan", frames=3)
    found, given = studio(family), token_rig.worded(family)
    plain = draw(found.model, given, given, latent, cfg=1.0)
    with watch(found.recorded) as (watched, calls):
        samples = draw(watched, given, given, latent, cfg=1.0)
    assert torch.equal(samples, plain)
    place, (entry,) = SHAPES[family].place(9, 10, 14, frames=3), found.run.entries
    own = [call for call in calls if place.has(call)]
    assert len(own) == 2 * 3 and "This is a video: each map is the mean" in found.run.warnings[-1]
    for number, expected in enumerate(witness(own, place, slice(0, 1), 3)):
        maps = entry.maps[number].double().sum(1)
        assert torch.allclose(maps, expected[:, :, list(entry.columns)], rtol=HALF, atol=1e-7)
    monkeypatch.setattr(comfy.folder_paths, "output_directory", str(tmp_path))
    asked = {"attention": found.recording, "latent": {"samples": samples}}
    heat = comfy.run_node("HRVHeatmap", **asked, words="star", image=torch.rand(5, 80, 112, 3))[1]
    assert heat.shape == (5, 80, 112)
    comfy.run_node("HRVSaveAttention", **asked, filename_prefix="wan")
    loaded, again = comfy.run_node("HRVLoadAttention", name="wan_00001_.safetensors [output]")
    assert again["samples"].shape == samples.shape
    asked = {"attention": loaded, "latent": again}
    assert torch.equal(
        comfy.run_node("HRVHeatmap", **asked, words="star", image=torch.rand(5, 80, 112, 3))[1], heat
    )


@pytest.mark.usefixtures("plain_way")
def test_cancel_and_errors_leave_nothing_behind(monkeypatch):
    found = studio("Z-Image")
    positive, latent = prompt("Z-Image"), empty("Z-Image")
    plain = draw(found.model, positive, positive, latent, cfg=1.0)

    def broken(*args, **kwargs):
        raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(following_tokens.TokenCall, "probabilities", broken)
        assert torch.equal(draw(found.recorded, positive, positive, latent, cfg=1.0), plain)
    (warning,) = found.run.warnings
    assert "Recording stopped while in an attention layer (RuntimeError: broken)" in warning
    with monkeypatch.context() as patch:
        error = torch.cuda.OutOfMemoryError("out of memory")
        patch.setattr(
            following_tokens.TokenCall, "probabilities", lambda *a, **k: (_ for _ in ()).throw(error)
        )
        assert torch.equal(draw(found.recorded, positive, positive, latent, cfg=1.0), plain)
    assert "memory ran out" in found.run.warnings[0]
    runs = len(found.recording.runs)
    with monkeypatch.context() as patch:
        cancel = comfy.model_management.InterruptProcessingException()
        patch.setattr(
            following_tokens.TokenCall, "probabilities", lambda *a, **k: (_ for _ in ()).throw(cancel)
        )
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            draw(found.recorded, positive, positive, latent, cfg=1.0)
    assert len(found.recording.runs) == runs
    assert torch.equal(draw(found.recorded, positive, positive, latent, cfg=1.0), plain)
    assert len(found.run.entries[0].maps) == 3


def skipping(model, wanted):
    """A cache of another pack that runs only some of the blocks of a Flux in some evaluations (TeaCache and the like)."""
    clone, evaluation = model.clone(), [0]
    clone.model_options["transformer_options"] = options = dict(clone.model_options["transformer_options"])

    def block(number):
        def replace(args, extra):
            if number == 0:
                evaluation[0] += 1
            return extra["original_block"](args) if wanted(evaluation[0], number) else {"img": args["img"]}

        return replace

    options["patches_replace"] = {"dit": {("single_block", number): block(number) for number in range(3)}}
    return clone


def test_layers_that_a_cache_skips_are_counted_by_themselves():
    found = studio("Flux")
    positive, latent = prompt("Flux"), empty("Flux")
    wanted = lambda evaluation, number: number != 1 or evaluation > 1  # noqa: E731
    plain = draw(skipping(found.model, wanted), positive, positive, latent, steps=4, cfg=1.0)
    drawn = draw(skipping(found.recorded, wanted), positive, positive, latent, steps=4, cfg=1.0)
    assert torch.equal(plain, drawn)
    (entry,) = found.run.entries
    assert entry.count() == 4 and {block: sum(counts) for block, counts in entry.layer_counts.items()} == {
        3: 3
    }
    for number, maps in entry.maps.items():
        mass = maps[:, 0, :, -1].double() / entry.count(block=number)
        assert bool((mass > 0).all()) and bool((mass <= 1.001).all())


def test_a_compiled_model_is_recorded_as_it_was_written():
    from comfy_api.torch_helpers import set_torch_compile_wrapper

    found = studio("Flux")
    given = (prompt("Flux"), prompt("Flux"), empty("Flux"))
    compiled = found.recorded.clone()
    set_torch_compile_wrapper(compiled, backend="eager")
    plain = draw(found.model, *given, steps=1, cfg=1.0)
    assert torch.equal(draw(compiled, *given, steps=1, cfg=1.0), plain)
    (warning,) = found.run.warnings
    assert "ran without the compiled code" in warning and len(found.run.entries[0].maps) == 5


def test_an_area_is_put_back_where_it_lies():
    found = studio("Flux")
    whole, part = prompt("Flux"), prompt("Flux", seed=1)
    (part,) = nodes.ConditioningSetArea().append(part, 64, 48, 48, 16, 1.0)
    latent = empty("Flux", height=12, width=14)
    plain = draw(found.model, whole + part, whole, latent, cfg=1.0)
    assert torch.equal(plain, draw(found.recorded, whole + part, whole, latent, cfg=1.0))
    _, area = found.run.entries
    assert found.run.grid == (6, 7) and area.maps[0].shape[-2:] == (6, 7)
    inside = area.maps[0][0, 0, :, -1]
    assert bool((inside[:, 1:4, 3:7] > 0).all())
    assert float(inside.sum()) == pytest.approx(float(inside[:, 1:4, 3:7].sum()))


SAMPLERS = ("dpmpp_2m", "heun", "euler_ancestral", "uni_pc")
WAYS = (*SAMPLERS, "part of the noise", "inpainting", "ControlNet")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.way(f"Flux: {name}")) for name in WAYS]
)
def test_ways_of_sampling(name):
    """The image is the same, and the maps of all evaluations are what their attention computed."""
    family, positive, negative = "Flux", prompt("Flux"), prompt("Flux", seed=1)
    found, latent, more = studio(family), empty(family), {"steps": 3}
    if name in SAMPLERS:
        more["sampler"] = name
    elif name == "part of the noise":
        more["denoise"] = 0.5
        latent["samples"] = torch.randn(latent["samples"].shape, generator=torch.Generator().manual_seed(3))
    elif name == "inpainting":
        latent["noise_mask"] = torch.zeros(1, 1, 10, 14)
        latent["noise_mask"][..., 3:8, 2:9] = 1
    else:
        image = torch.rand(1, 80, 112, 3, generator=torch.Generator().manual_seed(4))
        control = flux_control_net(token_rig.SHAPES[family].config)
        plain = draw(found.model, positive, negative, latent, **more)
        positive, negative = nodes.ControlNetApplyAdvanced().apply_controlnet(
            positive, negative, control, image, 0.8, 0.0, 1.0
        )
        assert not torch.equal(plain, draw(found.model, positive, negative, latent, **more))
    with watch(found.recorded) as (watched, calls):
        samples = draw(watched, positive, negative, latent, **more)
    assert torch.equal(samples, draw(found.model, positive, negative, latent, **more))
    (entry,) = found.run.entries
    place, layers = SHAPES[family].place(9, 10, 14), len(SHAPES[family].layers)
    own = [call for call in calls if 0 in call.chunks and place.has(call)]
    assert entry.count() * layers == len(own) and entry.count() >= 3
    first = own[0].chunks.index(0)
    kept = [*entry.columns, entry.length]
    for number, expected in enumerate(witness(own, place, slice(first, first + 1), layers)):
        maps = entry.maps[number].double().sum(1)
        assert torch.allclose(maps, expected[:, :, kept], rtol=HALF, atol=1e-7)


def test_the_memory_limit_holds_and_is_said():
    whole, small = studio("Flux"), studio("Flux", memory_limit=2**14)
    latent = empty("Flux", height=64, width=64)
    for found in (whole, small):
        draw(found.recorded, prompt("Flux"), prompt("Flux"), latent, steps=1, cfg=1.0)
    assert whole.run.grid == (32, 32) and small.run.grid == (8, 8)
    (warning,) = small.run.warnings
    assert "5 layers were scaled down" in warning
    mean, pooled = (found.run.entries[0].maps[0][..., -1, :, :].float().mean() for found in (whole, small))
    assert float(pooled) == pytest.approx(float(mean), rel=1e-3)


def test_prompt_report_gives_maps_and_no_verdicts(comfy):
    family = "Z-Image"
    found = studio(family)
    latent = {
        "samples": draw(found.recorded, prompt(family, 77), prompt(family), empty(family), steps=1, cfg=1.0)
    }
    image = torch.rand(1, 80, 112, 3)
    inputs = {
        "attention": found.recording,
        "latent": latent,
        "image": image,
        "prompt_text": "a red star and a blue fish",
    }
    (grid, report, data), shown = comfy.run_node_ui("HRVPromptReport", **inputs)
    assert grid.shape[-1] == 3 and "does not judge by the attention" in report
    assert json.loads(data)["pictures"][0]["findings"] == []
