"""The run that is shown is the one that was asked for: many samplings after it, other outputs of a sampler, other latents."""

import comfy.samplers
import nodes
import pytest
import rig
import stand_ins
import torch
from comfy_extras import nodes_custom_sampler as custom

from hrv_pack.host.follow.editor import EditOptions, edit
from hrv_pack.host.follow.rememberer import remember
from hrv_pack.hrv.look.heatmap import heatmaps
from hrv_pack.hrv.maps.pairing import warnings_of
from hrv_pack.hrv.recording.recording import NoRecording

way = pytest.mark.way
SAMPLERS = ("euler", "euler_ancestral", "heun", "dpmpp_2m", "dpmpp_sde", "uni_pc", "lcm")


def crops(latent, count, side=8):
    """Pieces of an image, twice as large as they were, as a detailer or tiled upscaler samples them."""
    for number in range(count):
        y, x = number % 3 * 4, number * 2 % 16
        piece = latent[..., y : y + side, x : x + side]
        yield torch.nn.functional.interpolate(piece, scale_factor=2, mode="bilinear")


def detailed(studio, base, count):
    """The base image, and so many samplings of crops through the same recorded model, with a prompt of their own."""
    face = rig.encode(studio.clip, "a face, sharp eyes")
    first = rig.sample(studio.recorded, studio.positive, studio.negative, latent=base, steps=1)
    plain = rig.sample(studio.model, studio.positive, studio.negative, latent=base, steps=1)
    assert torch.equal(first, plain)
    for number, crop in enumerate(crops(first, count)):
        settings = {"latent": {"samples": crop}, "denoise": 0.5, "steps": 1, "seed": number}
        last = rig.sample(studio.recorded, face, studio.negative, **settings)
    assert torch.equal(last, rig.sample(studio.model, face, studio.negative, **settings))
    return first, last


@way("Detailers and tiled upscales after the image: its own maps, or a sentence that they are no longer kept")
@pytest.mark.parametrize("count", [4, 15, 16, 20, 40])
def test_the_first_image_after_samplings_of_crops(count):
    """Case B1, case D1."""
    studio, alone = rig.studio(), rig.studio()
    first, last = detailed(studio, rig.empty(), count)
    rig.sample(alone.recorded, alone.positive, alone.negative, steps=1)
    for words in ("red cat", "mat"):
        found = heatmaps(studio.recording, first, words)
        assert torch.equal(found.heat, heatmaps(alone.recording, first, words).heat) and found.warnings == []
    assert heatmaps(studio.recording, last).words == ["face", "sharp", "eyes"]


@pytest.mark.parametrize("count", [4, 16, 40])
def test_the_first_image_after_samplings_of_crops_with_little_memory(count):
    """Case B1: never another run's maps."""
    probe = rig.studio()
    detailed(probe, rig.empty(), 1)
    limit = 3 * rig.last_run(probe.recording).nbytes
    studio = rig.studio(memory_limit=limit)
    first, last = detailed(studio, rig.empty(), count)
    with pytest.raises(NoRecording) as error:
        heatmaps(studio.recording, first, "red cat")
    assert str(error.value).startswith(
        f"This image is no longer kept in Record Attention. Others were sampled after it ({count}), and memory_limit_mb"
    )
    with pytest.raises(NoRecording, match="It matches an image that is no longer kept"):
        heatmaps(studio.recording, torch.nn.functional.interpolate(first, scale_factor=2), "red cat")
    assert heatmaps(studio.recording, last).words == ["face", "sharp", "eyes"]


def test_the_final_image_of_a_tiled_upscale_encoded_again():
    """Case D1: it has no latent output; what VAE Encode makes of it is no tile's, and no other image's."""
    studio = rig.studio()
    other = rig.sample(studio.recorded, studio.positive, studio.negative, seed=1)
    first = rig.sample(studio.recorded, studio.positive, studio.negative, seed=2)
    large = torch.nn.functional.interpolate(first, scale_factor=2)
    tiles = [tile for rows in large.chunk(2, dim=-2) for tile in rows.chunk(2, dim=-1)]
    for tile in tiles:
        rig.sample(
            studio.recorded,
            studio.positive,
            studio.negative,
            latent={"samples": tile.contiguous()},
            denoise=0.3,
        )
    (match,) = studio.recording.match(large + 0.05 * large.std() * torch.randn(large.shape))
    assert match.run is studio.recording.match(first)[0].run
    assert "It matches an image that did" in warnings_of([match])[0]
    assert studio.recording.match(other)[0].run is studio.recording.runs[0]
    with pytest.raises(
        NoRecording, match="connect the latent of the first sampler: it fits the upscaled image too"
    ):
        studio.recording.match(torch.zeros_like(large))


@torch.inference_mode()
def advanced(model, studio, seed, sampler="euler", latent=None, steps=3):
    """Both outputs of SamplerCustomAdvanced: (output, denoised_output)."""
    guider = custom.CFGGuider.execute(model, studio.positive, studio.negative, 7.0).result[0]
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", steps)
    out = custom.SamplerCustomAdvanced.execute(
        custom.Noise_RandomNoise(seed),
        guider,
        comfy.samplers.sampler_object(sampler),
        sigmas,
        latent or rig.empty(),
    )
    return [one["samples"] for one in out.result]


@way("denoised_output of SamplerCustomAdvanced")
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_denoised_output(sampler):
    """Case B3: two images, each read by either output."""
    studio = rig.studio()
    made = [advanced(studio.recorded, studio, seed, sampler) for seed in (1, 2)]
    plain = [advanced(studio.model, studio, seed, sampler) for seed in (1, 2)]
    for outputs, untouched, run in zip(made, plain, studio.recording.runs, strict=True):
        for latent, expected in zip(outputs, untouched, strict=True):
            assert torch.equal(latent, expected)
            (match,) = studio.recording.match(latent)
            assert match.run is run and match.exact and match.element == 0 and warnings_of([match]) == []


def test_denoised_output_of_a_batch_with_a_noise_mask():
    studio = rig.studio()
    start = {"samples": torch.randn(2, 4, 16, 24, generator=torch.Generator().manual_seed(0))}
    mask = torch.zeros(128, 192)
    mask[32:96, 64:128] = 1.0
    (latent,) = nodes.SetLatentNoiseMask().set_mask(start, mask)
    made, plain = (advanced(model, studio, 1, latent=latent) for model in (studio.recorded, studio.model))
    for one, expected in zip(made, plain, strict=True):
        assert torch.equal(one, expected)
        assert [(m.element, m.exact) for m in studio.recording.match(one)] == [(0, True), (1, True)]


def test_a_sampling_that_nobody_watches():
    """No callback; by name, by place, and a guider that shows something else than a tensor."""
    studio = rig.studio()
    for model in (studio.model, studio.recorded):
        guider = custom.CFGGuider.execute(model, studio.positive, studio.negative, 7.0).result[0]
        sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", 2)
        noise = custom.Noise_RandomNoise(1).generate_noise(rig.empty())
        with torch.inference_mode():
            made = guider.sample(
                noise, rig.empty()["samples"], comfy.samplers.sampler_object("euler"), sigmas
            )
    assert studio.recording.match(made)[0].exact


def test_the_callback_is_called_as_before():
    """As often, with the same tensors, and what it raises ends the sampling."""
    studio, seen = rig.studio(), []

    def change(executor, *args, **kwargs):
        given = kwargs.pop("callback", None) or args[5]

        def callback(*shown, **named):
            seen.append((shown, named))
            return given(*shown, **named)

        return executor(*args[:5], callback, *args[6:], **kwargs)

    for model in (studio.model, studio.recorded):
        watched = stand_ins.wrapped(model, stand_ins.WRAPPERS.OUTER_SAMPLE, change)
        advanced(watched, studio, 1)
    (plain, recorded) = seen[:3], seen[3:]
    assert len(plain) == len(recorded) == 3
    for one, other in zip(plain, recorded, strict=True):
        assert one[0][0] == other[0][0] and one[0][3] == other[0][3] and one[1] == other[1] == {}
        assert torch.equal(one[0][1], other[0][1]) and torch.equal(one[0][2], other[0][2])


def test_what_is_remembered_is_found_by_either_output():
    """Case B3, for Edit Prompt; and a forgotten first image is known as such."""
    model, studio = rig.tiny("sdxl"), rig.studio()
    remembering, _, memory = remember(model, None, 2**26)
    made = [advanced(remembering, studio, seed) for seed in (1, 2)]
    for outputs, run in zip(made, memory.runs, strict=True):
        for latent in outputs:
            assert memory.match(latent) == (run, "")
    memory.memory_limit = 1
    advanced(remembering, studio, 3)
    with pytest.raises(
        NoRecording, match=r"This image is no longer kept in Remember Run. Others were sampled after it \(2\)"
    ):
        edit(model, memory, made[0][0], EditOptions(1.0, 1.0))
