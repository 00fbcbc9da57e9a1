"""What Record Attention's own options do: part of the schedule, time bins, negative prompt, memory."""

import pytest
import rig
import torch

from hrv_pack.hrv.recording.recording import NoRecording


def draw(studio, **options):
    return rig.sample(
        studio.recorded, studio.positive, studio.negative, **{"steps": 6, "cfg": 1.0, **options}
    )


def maps_of(studio):
    """Layer → (batch, part of the schedule, head, column, height, width)."""
    entry = rig.entry(studio.recording)
    parts = range(entry.parts)
    return {
        n: torch.stack([m[:, entry.places(part)].float().sum(1) for part in parts], dim=1)
        for n, m in entry.maps.items()
    }


def sigmas_seen(studio):
    """Sigma of every evaluation of a run of `draw`, from the plain model."""
    seen = []

    def wrapper(apply_model, args):
        seen.append(float(args["timestep"][0]))
        return apply_model(args["input"], args["timestep"], **args["c"])

    clone = studio.model.clone()
    clone.set_model_unet_function_wrapper(wrapper)
    rig.sample(clone, studio.positive, studio.negative, steps=6, cfg=1.0)
    return seen


@pytest.mark.parametrize(("start", "end"), [(0.0, 0.5), (0.3, 0.8), (0.5, 1.0)])
def test_part_of_the_schedule(start, end):
    studio = rig.studio(start_percent=start, end_percent=end)
    to_sigma = studio.model.get_model_object("model_sampling").percent_to_sigma
    inside = [s for s in sigmas_seen(studio) if to_sigma(end) <= s <= to_sigma(start)]
    assert torch.equal(draw(studio), draw(rig.studio()))
    assert 0 < rig.entry(studio.recording).count() == len(inside) < 6


def test_parts_of_the_schedule_add_up():
    whole, first, second = rig.studio(), rig.studio(end_percent=0.5), rig.studio(start_percent=0.5)
    for studio in (whole, first, second):
        draw(studio)
    assert sum(rig.entry(s.recording).count() for s in (first, second)) == 6
    for number, maps in maps_of(whole).items():
        parts = maps_of(first)[number] + maps_of(second)[number]
        assert torch.allclose(parts, maps, atol=1e-2)


def test_nothing_inside_the_range_says_so():
    studio = rig.studio(start_percent=0.4, end_percent=0.41)
    latent = draw(studio, steps=2)
    (match,) = studio.recording.match(latent)
    with pytest.raises(NoRecording, match="start_percent"):
        match.run.of_role("positive")


@pytest.mark.parametrize("bins", [2, 3, 5])
def test_time_bins_add_up_to_the_whole(bins):
    whole, parted = rig.studio(), rig.studio(time_bins=bins)
    assert torch.equal(draw(whole), draw(parted))
    entry = rig.entry(parted.recording)
    counts = [entry.count(part) for part in range(bins)]
    assert entry.parts == bins and sum(counts) == entry.count() == 6
    assert sum(count > 0 for count in counts) >= 2
    for number, maps in maps_of(parted).items():
        assert maps.shape[1] == bins
        assert torch.allclose(maps.sum(1, keepdim=True), maps_of(whole)[number], atol=1e-2)
        for time_bin, count in enumerate(counts):
            assert (maps[:, time_bin].sum() > 0) == (count > 0)


@pytest.mark.parametrize("record", [False, True])
def test_the_negative_prompt_only_when_asked(record):
    """And never under the positive's name."""
    studio = rig.studio(record_negative=record)
    with rig.watch(studio.model) as calls:
        draw(studio, cfg=7.0)
    run = rig.last_run(studio.recording)
    assert run.roles() == (["positive", "negative"] if record else ["positive"])
    prompts = {"positive": studio.positive, "negative": studio.negative}
    for entry in run.entries:
        rig.assert_maps(entry, calls, run.layout, prompts[entry.role][0][0], tolerance=6e-3)
    if not record:
        with pytest.raises(NoRecording, match="Switch `negative` on"):
            run.of_role("negative")


def test_maps_at_rest_are_half_precision_on_the_cpu():
    studio = rig.studio()
    draw(studio)
    found = {(m.dtype, m.device.type) for m in rig.entry(studio.recording).maps.values()}
    assert found == {(torch.float16, "cpu")}


def maps_bytes(run) -> int:
    return sum(entry.nbytes for entry in run.entries)


def test_a_small_memory_limit_makes_maps_smaller():
    """The largest ones, until all fit; their mean stays, and a warning says so."""
    latent = rig.empty(1, 37, 41)
    full = rig.studio()
    plain = draw(full, latent=latent)
    run = rig.last_run(full.recording)
    limit = maps_bytes(run) // 3
    small = rig.studio(memory_limit=limit)
    assert torch.equal(draw(small, latent=latent), plain)
    pooled = rig.last_run(small.recording)
    assert maps_bytes(pooled) <= limit
    assert pooled.entries[0].maps[0].shape[-2:] < run.entries[0].maps[0].shape[-2:]
    (warning,) = pooled.warnings
    assert "scaled down to stay within" in warning and "memory_limit_mb" in warning
    for number, maps in maps_of(small).items():
        whole = maps_of(full)[number]
        assert torch.allclose(maps.mean((-2, -1)), whole.mean((-2, -1)), rtol=5e-3, atol=1e-4)


def test_memory_of_all_runs_is_bounded():
    """The oldest go first; the newest is kept. (These maps are too small to be pooled.)"""
    probe = rig.studio()
    draw(probe, steps=1)
    one = rig.last_run(probe.recording).nbytes
    studio = rig.studio(memory_limit=int(2.5 * one))
    latents = [draw(studio, seed=s, steps=1) for s in range(4)]
    assert sum(run.nbytes for run in studio.recording.runs) <= 2.5 * one
    for number, latent in enumerate(latents[:2]):
        with pytest.raises(
            NoRecording,
            match=rf"no longer kept in Record Attention. Others were sampled after it \({3 - number}\)",
        ):
            studio.recording.match(latent)
    assert [studio.recording.match(latent)[0].exact for latent in latents[2:]] == [True, True]
