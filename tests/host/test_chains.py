"""Images that several samplings made one after the other: the maps are those of all of them, and the image is untouched."""

import comfy.model_management
import comfy.samplers
import nodes
import pytest
import rig
import torch
from comfy_extras import nodes_custom_sampler as custom

from hrv_pack.host.follow import recorder as recorder_module
from hrv_pack.hrv.maps.pairing import warnings_of

STEPS = 10
ROUNDING = 2e-2  # of sums of 10 maps in half precision
way = pytest.mark.way


@torch.inference_mode()
def part(
    studio, model, latent, start, end, sampler="euler", positive=None, steps=STEPS, noise=None, leave=None
):
    """What node KSamplerAdvanced returns for some of the steps, the first with noise, all but the last leaving theirs."""
    noise = start == 0 if noise is None else noise
    leave = end < steps if leave is None else leave
    (out,) = nodes.KSamplerAdvanced().sample(
        model, "enable" if noise else "disable", 3, steps, 7.0, sampler, "normal", positive or studio.positive,
        studio.negative, latent, start, end, "enable" if leave else "disable",
    )  # fmt: skip
    return out


def in_parts(studio, model, *ends, latent=None, **more):
    """The latents of a chain of KSamplerAdvanced."""
    latent, start, made = latent or rig.empty(), 0, []
    for end in ends:
        latent = part(studio, model, latent, start, end, **more)
        made.append(latent["samples"])
        start = end
    return made


def whole_of(studio, *, latent=None, positive=None, **options):
    """The entries of one whole sampling with the same settings, and its latent, by another recorder."""
    alone = rig.studio(model=studio.model, **options)
    made = rig.sample(
        alone.recorded, positive or alone.positive, alone.negative, latent=latent, seed=3, steps=STEPS
    )
    return rig.last_run(alone.recording).entries, made


def assert_whole(found, expected):
    assert [(e.role, e.counts, e.batch) for e in found] == [(e.role, e.counts, e.batch) for e in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.maps.keys() == other.maps.keys()
        for block, maps in one.maps.items():
            assert maps.dtype == torch.float16 and maps.shape == other.maps[block].shape
            assert (maps.float() - other.maps[block].float()).abs().max() <= ROUNDING


@way("KSamplerAdvanced in two halves")
@pytest.mark.parametrize("ends", [(5, 10), (1, 10), (3, 6, 10)], ids=str)
@pytest.mark.parametrize("batch", [1, 3])
def test_ksampler_advanced_in_parts(studio, ends, batch):
    """The plainest sum: one whole sampling."""
    empty = rig.empty(batch)
    plain = in_parts(studio, studio.model, *ends, latent=empty)
    made = in_parts(studio, studio.recorded, *ends, latent=empty)
    assert all(torch.equal(a, b) for a, b in zip(plain, made, strict=True))
    expected, whole = whole_of(studio, latent=empty)
    assert (made[-1] - whole).norm() <= 1e-4 * whole.norm()
    matches = studio.recording.match(made[-1])
    assert [m.element for m in matches] == list(range(batch)) and warnings_of(matches) == []
    assert_whole(matches[0].run.entries, expected)
    halves = [studio.recording.match(latent)[0] for latent in made[:-1]]
    assert [(m.exact, m.run.entries[0].count()) for m in halves] == [(True, end) for end in ends[:-1]]


def test_both_roles_and_parts_of_the_schedule():
    """Bins stand for parts of the whole schedule, so each half fills its own."""
    options = {"record_negative": True, "time_bins": 3}
    studio = rig.studio(**options)
    (match,) = studio.recording.match(in_parts(studio, studio.recorded, 4, 10)[-1])
    expected, _ = whole_of(studio, **options)
    assert [e.role for e in expected] == ["positive", "negative"] and all(expected[0].counts)
    assert_whole(match.run.entries, expected)


@torch.inference_mode()
def split(studio, model, at=4):
    """SplitSigmas, and SamplerCustomAdvanced for each part: (output, denoised_output) of both, DisableNoise in the second."""
    guider = custom.CFGGuider.execute(model, studio.positive, studio.negative, 7.0).result[0]
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", STEPS)
    high, low = custom.SplitSigmas.execute(sigmas, at).result
    sampler = comfy.samplers.sampler_object("euler")
    first = custom.SamplerCustomAdvanced.execute(
        custom.Noise_RandomNoise(3), guider, sampler, high, rig.empty()
    ).result
    second = custom.SamplerCustomAdvanced.execute(
        custom.Noise_EmptyNoise(), guider, sampler, low, first[0]
    ).result
    return [latent["samples"] for latent in (*first, *second)]


@way("Split sigmas with DisableNoise")
def test_split_sigmas(studio):
    plain, made = split(studio, studio.model), split(studio, studio.recorded)
    assert all(torch.equal(a, b) for a, b in zip(plain, made, strict=True))
    expected, _ = whole_of(studio)
    for latent in made[2:]:  # case B3: both outputs
        (match,) = studio.recording.match(latent)
        assert match.exact and warnings_of([match]) == []
        assert_whole(match.run.entries, expected)
    for latent in made[:2]:
        (match,) = studio.recording.match(latent)
        assert match.exact and match.run.entries[0].count() == 4


@pytest.mark.skipif(
    not hasattr(comfy.model_management, "intermediate_dtype"),
    reason="this ComfyUI has no --fp16-intermediates",
)
def test_latents_in_half_precision(studio, monkeypatch):
    """--fp16-intermediates rounds what KSamplerAdvanced hands on, and leaves what SamplerCustomAdvanced does."""
    monkeypatch.setattr(comfy.model_management.args, "fp16_intermediates", True)
    made = in_parts(studio, studio.recorded, 4, 10)
    assert made[0].dtype == torch.float16
    for latent, evaluations in zip(
        (*made, *split(studio, studio.recorded)), (4, 10, 4, 4, 10, 10), strict=True
    ):
        (match,) = studio.recording.match(latent)
        assert match.exact and match.run.warnings == [] and match.run.entries[0].count() == evaluations


def test_the_halves_may_have_other_prompts(studio):
    """Each text has the steps that it was sampled in."""
    other = rig.encode(studio.clip, "a blue dog")
    first = part(studio, studio.recorded, rig.empty(), 0, 5)
    second = part(studio, studio.recorded, first, 5, 10, positive=other)
    (match,) = studio.recording.match(second["samples"])
    assert [(e.prompt.text, e.count()) for e in match.run.of_role("positive")] == [
        ("a blue dog", 5),
        ("a red cat on a mat", 5),
    ]


def test_one_image_of_the_batch_goes_on(studio):
    (first,) = in_parts(studio, studio.recorded, 5, latent=rig.empty(3))
    second = part(studio, studio.recorded, {"samples": first[[2, 0]]}, 5, 10)
    found = studio.recording.match(second["samples"])[0].run.entries[0]
    alone = rig.studio(model=studio.model)
    rows = in_parts(alone, alone.recorded, 5, 10, latent=rig.empty(3))[-1]
    expected = alone.recording.match(rows)[0].run.entries[0]
    assert found.count() == 10 and found.batch == 2
    for block, maps in found.maps.items():
        assert (maps.float() - expected.maps[block][[2, 0]].float()).abs().max() <= ROUNDING


def test_what_is_not_a_chain(studio):
    """img2img, a second pass with new noise, and a whole sampling from noise that AddNoise made."""
    first = part(studio, studio.recorded, rig.empty(), 0, 10)
    with_noise = part(studio, studio.recorded, first, 5, 10, noise=True)
    (enlarged,) = nodes.LatentUpscaleBy().upscale(first, "bislerp", 1.5)
    hires = rig.sample(
        studio.recorded, studio.positive, studio.negative, latent=enlarged, denoise=0.5, steps=4
    )
    sampling = studio.model.get_model_object("model_sampling")
    sigmas = comfy.samplers.calculate_sigmas(sampling, "normal", STEPS)
    noisy = custom.AddNoise.execute(studio.model, custom.Noise_RandomNoise(9), sigmas, rig.empty()).result[0]
    guider = custom.CFGGuider.execute(studio.recorded, studio.positive, studio.negative, 7.0).result[0]
    with torch.inference_mode():
        by_node = custom.SamplerCustomAdvanced.execute(
            custom.Noise_EmptyNoise(), guider, comfy.samplers.sampler_object("euler"), sigmas, noisy
        ).result[0]
    for latent, evaluations in (
        (first["samples"], 10),
        (with_noise["samples"], 5),
        (hires, 4),
        (by_node["samples"], 10),
    ):
        (match,) = studio.recording.match(latent)
        assert match.exact and match.run.warnings == [] and match.run.entries[0].count() == evaluations


@way("Regional samplers that go step by step", maps="those of the last steps, with one warning")
def test_a_regional_sampler_that_mixes_between_steps(studio):
    """Two prompts, each for one half of the image, one step at a time; the halves are joined after each."""
    other = rig.encode(studio.clip, "a blue dog")

    def draw(model):
        latent = rig.empty()
        for step in range(4):
            left, right = (
                part(studio, model, latent, step, step + 1, positive=prompt, steps=4)["samples"]
                for prompt in (studio.positive, other)
            )
            latent = {"samples": torch.cat([left[..., :12], right[..., 12:]], dim=-1)}
        return part(studio, model, latent, 3, 4, steps=4)["samples"]

    plain, made = draw(studio.model), draw(studio.recorded)
    assert torch.equal(plain, made)
    (match,) = studio.recording.match(made)
    (warning,) = warnings_of([match])
    assert warning.startswith(
        "Only the last steps are shown: a sampler started in the middle of the schedule"
    )
    assert match.exact and match.run.entries[0].count() == 1


def test_step_by_step_without_mixing_is_one_image(studio):
    made = in_parts(studio, studio.recorded, *range(1, STEPS + 1))
    (match,) = studio.recording.match(made[-1])
    assert match.run.warnings == []
    assert_whole(match.run.entries, whole_of(studio)[0])


def test_a_first_half_that_was_forgotten(studio):
    (first,) = in_parts(studio, studio.recorded, 5)
    studio.recording.memory_limit = 1
    rig.sample(studio.recorded, studio.positive, studio.negative, seed=99)
    second = part(studio, studio.recorded, {"samples": first}, 5, 10)
    (match,) = studio.recording.match(second["samples"])
    (warning,) = match.run.warnings
    assert (
        "the recording of the earlier steps was no longer kept. To see all steps, raise memory_limit_mb"
        in warning
    )
    assert match.run.entries[0].count() == 5


def test_a_first_half_behind_another_record_attention(studio):
    """Base and refiner, each recorded by its own node."""
    (first,) = in_parts(studio, rig.attach(studio.model, None, rig.RecordOptions())[0], 5)
    second = part(studio, studio.recorded, {"samples": first}, 5, 10)
    (warning,) = studio.recording.match(second["samples"])[0].run.warnings
    assert "from a latent that did not come unchanged from a recorded sampler" in warning


def test_whatever_goes_wrong_the_second_half_is_kept(studio, monkeypatch, caplog):
    def failing(*given):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(recorder_module, "join", failing)
    plain = in_parts(studio, studio.model, 5, 10)
    made = in_parts(studio, studio.recorded, 5, 10)
    assert torch.equal(plain[-1], made[-1])
    (match,) = studio.recording.match(made[-1])
    assert match.run.warnings == [
        "Only the last steps are shown: joining them with the earlier steps failed (memory ran out)."
    ]
    assert match.run.entries[0].count() == 5 and caplog.text.count("[HRV]") == 2
