"""Several samplings on one recorder, cancelled ones, failing ones, a hundred of them: each leaves what it should,
and nothing else."""

import gc
import os

import comfy.model_management
import nodes
import pytest
import rig
import torch

from hrv_pack.host.follow.capture import Capture
from hrv_pack.hrv.recording.recording import NoRecording
from hrv_pack.hrv.recording.sums import Accumulator


def options_of(model):
    """The shape and the contents of a model's options, wrappers and patches; leaves by identity."""

    def look(value):
        if isinstance(value, dict):
            return {key: look(inner) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [look(inner) for inner in value]
        return getattr(value, "__func__", id(value))

    unet = model.model.diffusion_model
    hooks = [m for m in unet.modules() if m._forward_hooks or m._forward_pre_hooks]
    return [look(v) for v in (model.model_options, model.wrappers, model.object_patches)] + [hooks]


def alive() -> list:
    """Captures and their sums that something still holds."""
    return [o for o in gc.get_objects() if type(o) in (Capture, Accumulator)]


@pytest.fixture
def held_before() -> list:
    """What other tests left behind: pytest keeps the log records, and so the tracebacks, of failures they cause."""
    gc.collect()
    return alive()


@pytest.fixture
def studio(held_before):
    studio = rig.studio()
    before = options_of(studio.model), options_of(studio.recorded)
    yield studio
    assert (options_of(studio.model), options_of(studio.recorded)) == before, "the model was left changed"
    assert "patches_replace" not in studio.recorded.model_options["transformer_options"]
    gc.collect()
    assert [o for o in alive() if o not in held_before] == []


def draw(studio, model=None, **options):
    return rig.sample(model or studio.recorded, studio.positive, studio.negative, **options)


def failing_at(model, evaluation: int, action):
    """A clone of the model in which `action` is called before that evaluation of the UNet."""
    seen = []

    def wrapper(apply_model, args):
        seen.append(1)
        if len(seen) == evaluation:
            action()
        return apply_model(args["input"], args["timestep"], **args["c"])

    clone = model.clone()
    clone.set_model_unet_function_wrapper(wrapper)
    return clone


def cancel():
    """What the server does when the user cancels, and what the host does next."""
    comfy.model_management.interrupt_current_processing(True)
    comfy.model_management.throw_exception_if_processing_interrupted()


def explode():
    raise RuntimeError("another pack's bug")


def test_two_samplers_and_two_seeds(studio):
    second_model = (
        studio.recorded.clone()
    )  # as another patch node between recorder and second sampler makes it
    latents = [draw(studio, seed=1), draw(studio, second_model, seed=2), draw(studio, seed=3, steps=3)]
    assert not torch.equal(latents[0], latents[1])
    runs = studio.recording.runs
    assert len(runs) == 3
    for latent, run in zip(latents, runs, strict=True):
        (match,) = studio.recording.match(latent)
        assert match.run is run and match.exact
    assert [[r.entries[0].count()] for r in runs] == [[2], [2], [3]]


def test_a_cancelled_run_then_a_clean_one(studio):
    expected = draw(studio, studio.model)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        draw(studio, failing_at(studio.recorded, 2, cancel), steps=3)
    assert not comfy.model_management.processing_interrupted()
    with pytest.raises(NoRecording, match="Nothing has been recorded yet"):
        studio.recording.match(expected)
    assert torch.equal(draw(studio), expected)
    (match,) = studio.recording.match(expected)
    assert match.exact and match.run.entries[0].count() == 2 and match.run.warnings == []


def test_an_error_in_the_sampler_stays_the_samplers(studio, caplog):
    first = draw(studio, seed=1)
    with pytest.raises(RuntimeError, match="another pack's bug"):
        draw(studio, failing_at(studio.recorded, 2, explode), steps=3)
    assert len(studio.recording.runs) == 1 and studio.recording.match(first)[0].exact
    second = draw(studio, seed=2)
    assert studio.recording.match(second)[0].run is rig.last_run(studio.recording)
    assert "[HRV]" not in caplog.text


def test_an_error_inside_attention_stays_the_samplers(studio):
    """An attn2 replacement of another pack that fails is not taken for a failure of the recording."""
    clone = studio.recorded.clone()
    clone.set_model_attn2_replace(lambda q, k, v, extra: explode(), "middle", 0, 0)
    with pytest.raises(RuntimeError, match="another pack's bug"):
        draw(studio, clone, steps=1)
    assert studio.recording.runs == []


def sampling_within(studio, model):
    """A clone that samples another picture, by itself, before its second evaluation."""
    inner = []

    def sample():
        network = model.model
        patcher = (
            network.current_patcher
        )  # the host forgets it at the end of each sampling, and packs that do this put it back
        inner.append(draw(studio, clone, seed=9, steps=1))
        network.current_patcher = patcher

    clone = failing_at(model, 2, sample)
    return clone, inner


def test_a_sampling_within_a_sampling(studio):
    """Each is recorded whole, and read by its own latent."""
    plain = draw(studio, seed=1, steps=3)
    model, inner = sampling_within(studio, studio.recorded)
    outer = draw(studio, model, seed=1, steps=3)
    assert torch.equal(outer, plain)
    found = studio.recording.match(outer)[0], studio.recording.match(inner[0])[0]
    assert [(m.exact, [m.run.entries[0].count()], m.run.warnings) for m in found] == [
        (True, [3], []),
        (True, [1], []),
    ]
    whole = studio.recording.runs[0].entries[0].maps
    assert all(torch.equal(maps, whole[block]) for block, maps in found[0].run.entries[0].maps.items())


def test_a_steered_sampling_within_a_steered_sampling(studio):
    import steering_rig

    from hrv_pack.host.follow.steerer import steer

    steered, _ = steer(studio.model, None, steering_rig.scaling(studio.recording.layout))
    expected = draw(studio, steered, seed=1, steps=3)
    model, inner = sampling_within(studio, steered)
    assert torch.equal(draw(studio, model, seed=1, steps=3), expected)
    assert torch.equal(inner[0], draw(studio, steered, seed=9, steps=1))


def test_nothing_waits_for_the_garbage_collector(studio, held_before):
    """What a sampling held is free as soon as it is over: no cycles around the maps."""
    gc.collect()
    gc.disable()
    try:
        draw(studio)
        assert [o for o in alive() if o not in held_before] == []
    finally:
        gc.enable()


def resident_megabytes() -> float:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads Linux's /proc")
def test_a_hundred_runs(studio):
    """Memory is where it was: of 100 runs, as many are kept as fit."""
    small = rig.empty(1, 8, 8)
    draw(studio, seed=0, steps=1, cfg=1.0, latent=small)
    studio.recording.memory_limit = 16 * rig.last_run(studio.recording).nbytes
    for seed in range(100):
        draw(studio, seed=seed, steps=1, cfg=1.0, latent=small)
        if seed == 30:
            gc.collect()
            before = resident_megabytes()
    gc.collect()
    assert len(studio.recording.runs) == 16
    assert resident_megabytes() - before < 16
    assert studio.recording.match(draw(studio, seed=99, steps=1, cfg=1.0, latent=small))[0].exact


def test_elements_of_a_batch(studio):
    latent = {"samples": draw(studio, latent=rig.empty(4))}
    (one,) = nodes.LatentFromBatch().frombatch(latent, 2, 1)
    (twice,) = nodes.RepeatLatentBatch().repeat(one, 2)
    turned = {"samples": latent["samples"].flip(0)}
    joined = {"samples": torch.cat([turned["samples"], one["samples"]])}
    for made, elements in ((one, [2]), (twice, [2, 2]), (turned, [3, 2, 1, 0]), (joined, [3, 2, 1, 0, 2])):
        matches = studio.recording.match(made["samples"])
        assert [(m.element, m.exact) for m in matches] == [(e, True) for e in elements]


def test_elements_have_their_own_maps(studio):
    latent = draw(studio, latent=rig.empty(3), cfg=1.0)
    alone = rig.studio()
    with rig.watch(alone.model) as calls:
        draw(alone, latent=rig.empty(3), cfg=1.0)
    found = rig.entry(studio.recording)
    rig.assert_maps(found, calls, studio.recording.layout, alone.positive[0][0], tolerance=2e-3)
    assert not torch.equal(found.maps[0][0], found.maps[0][1])
    assert [m.element for m in studio.recording.match(latent)] == [0, 1, 2]


def test_a_changed_latent_reads_the_run_that_it_is_of(studio):
    first = draw(studio, seed=1)
    draw(studio, seed=2)
    (match,) = studio.recording.match(first + 1.0)
    assert match.run is studio.recording.runs[0] and not match.exact
    with pytest.raises(NoRecording, match="matches none of the images"):
        studio.recording.match(rig.sample(studio.model, studio.positive, studio.negative, seed=7))


def test_nothing_recorded_says_what_to_connect(studio):
    with pytest.raises(NoRecording, match="Connect Record Attention's model output to the sampler"):
        studio.recording.match(torch.zeros(1, 4, 8, 8))
