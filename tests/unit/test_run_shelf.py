"""Which runs are kept, with how fine maps, and what is said of those that are not."""

import pytest
import torch
from prompts import prompt
from synthetic import LAYOUT, add, entry, recording, run_of

from hrv_pack.hrv.recording.recording import NoRecording, Run
from hrv_pack.hrv.runs import pooling
from hrv_pack.hrv.runs.forgotten import MAX_LOOKS, MAX_NAMES
from hrv_pack.hrv.runs.latents import traces_of
from hrv_pack.hrv.runs.shelf import MAX_RUNS
from hrv_pack.hrv.steer.source_run import RunMemory, SourceRun

FINE = ((64, 64), (32, 32), (16, 16), (64, 64))  # of LAYOUT's blocks


def latents(seed, count=1, size=(8, 12)):
    return torch.randn(count, 4, *size, generator=torch.Generator().manual_seed(seed))


def small(seed):
    return run_of(latents(seed), entry(prompt("cat")))


def fine(seed):
    return run_of(latents(seed), entry(prompt("cat"), grids=FINE, seed=seed))


def grids(run):
    return [tuple(run.entries[0].maps[block].shape[-2:]) for block in range(4)]


def refusal(recording, latent) -> str:
    with pytest.raises(NoRecording) as error:
        recording.match(latent)
    return str(error.value)


@pytest.mark.parametrize("later", [4, 15, 16, 20, 40])
def test_the_first_of_many_is_found_or_known_to_be_gone(later):
    """Case B1: with memory for all, and with memory for three."""
    size = small(0).nbytes
    runs = [small(n) for n in range(later + 1)]
    (match,) = recording(*runs).match(latents(0))
    assert match.run is runs[0] and match.exact and match.run.warnings == []
    few = recording(*runs, limit=3 * size)
    text = refusal(few, latents(0))
    assert text.startswith(
        f"This image is no longer kept in Record Attention. Others were sampled after it ({later}), and memory_limit_mb (0) is not enough for all of them."
    )
    assert "Raise memory_limit_mb in Record Attention and run again" in text
    assert (
        all(a is b for a, b in zip(few.runs, runs[-3:], strict=True))
        and few.match(latents(later))[0].run is runs[-1]
    )


def test_one_later_sampling_is_not_samplings():
    r = recording(small(0), small(1), limit=1)
    assert (
        "no longer kept in Record Attention. Others were sampled after it (1), and memory_limit_mb (0) is not"
        in refusal(r, latents(0))
    )


def test_what_was_read_last_stays():
    runs = [small(n) for n in range(4)]
    r = recording(*runs[:3], limit=3 * runs[0].nbytes)
    r.match(latents(0))
    add(r, runs[3])
    assert [id(run) for run in r.runs] == [id(runs[n]) for n in (0, 2, 3)]
    assert "sampled after it (2)" in refusal(r, latents(1))


def test_the_number_of_runs_is_bounded_and_so_is_what_is_known_of_others():
    r = recording(*(Run(LAYOUT, traces=traces_of(latents(n))) for n in range(MAX_RUNS + 2)))
    assert len(r.runs) == MAX_RUNS
    text = refusal(r, latents(1))
    assert (
        f"Others were sampled after it ({MAX_RUNS}), and Record Attention keeps no more than {MAX_RUNS}"
        in text
    )
    assert "Raise memory_limit_mb" not in text
    for n in range(MAX_RUNS + 2, MAX_RUNS + 2 + 40):
        add(r, Run(LAYOUT, traces=traces_of(latents(n, count=128, size=(1, 1)))))
    add(r, Run(LAYOUT, traces=traces_of(latents(9999, count=MAX_NAMES))))
    for n in range(MAX_RUNS):
        add(r, Run(LAYOUT, traces=traces_of(latents(10_000 + n))))
    assert len(r._forgotten._names) == MAX_NAMES and len(r._forgotten._looks) == MAX_LOOKS
    assert "matches none of the images" in refusal(r, latents(1))


def test_a_forgotten_image_that_is_sampled_again_is_there_again():
    r = recording(small(0), small(1), limit=1)
    refusal(r, latents(0))
    again = small(0)
    add(r, again)
    assert r.match(latents(0))[0].run is again
    assert "sampled after it (1)" in refusal(r, latents(1))


def test_older_runs_are_pooled_before_any_is_forgotten():
    """Case B2: the finest maps first, of the run used least lately, not below 16 pixels, never the newest."""
    runs = [fine(n) for n in range(3)]
    whole = runs[0].nbytes
    r = recording(*runs[:2], limit=2 * whole)
    assert [grids(run) for run in runs[:2]] == [list(FINE)] * 2
    add(r, runs[2])
    assert [grids(run)[0] for run in runs] == [(32, 32), (32, 32), (64, 64)]
    assert grids(runs[0]) == [(32, 32), (32, 32), (16, 16), (32, 32)]
    tight = [fine(n) for n in range(4)]
    floor = recording(*tight, limit=int(1.4 * whole))
    assert len(floor.runs) == 4
    assert grids(tight[0]) == [(16, 16)] * 4 and grids(tight[3]) == list(FINE)
    assert sum(run.nbytes for run in tight) <= 1.4 * whole
    floor.memory_limit = whole
    add(floor, fine(4))
    assert len(floor.runs) == 1 and "sampled after it (4)" in refusal(floor, latents(0))


def test_nothing_is_pooled_in_vain():
    """Build Head Relevance keeps one run at a time."""
    runs = [fine(n) for n in range(2)]
    r = recording(*runs, limit=runs[0].nbytes - 1)
    assert len(r.runs) == 1 and grids(runs[0]) == list(FINE)


def test_pooling_takes_means_and_says_so():
    run, other = fine(0), fine(1)
    before = {block: maps.float() for block, maps in run.entries[0].maps.items()}
    r = recording(run, other, limit=run.nbytes + other.nbytes - 1)
    (match,) = r.match(latents(0))
    (found,) = match.run.entries
    assert match.exact
    plain = before[0].unflatten(-1, (32, 2)).unflatten(-3, (32, 2)).mean((-1, -3)).half()
    assert torch.equal(found.maps[0], plain) and found.maps[0].dtype == torch.float16
    assert torch.equal(found.maps[1].float(), before[1])
    (warning,) = match.run.warnings
    assert warning.startswith(
        "The maps of this image were scaled down, because later samplings (1) needed the memory."
    )
    for n in range(2, 5):
        add(r, fine(n))
    (warning,) = run.warnings
    assert "because later samplings (4) needed" in warning


@pytest.mark.parametrize(
    ("grid", "steps"),
    [
        ((52, 76), [(26, 38), (16, 23)]),
        ((48, 48), [(24, 24), (16, 16)]),
        ((17, 99), [(16, 93)]),
        ((16, 99), []),
    ],
)
def test_other_shapes_end_at_16_pixels_too(grid, steps):
    run = run_of(latents(0), entry(prompt("cat"), grids=(grid,) * 4))
    before, r = run.entries[0].maps[0].float(), recording()
    seen = []
    while r.finest(run):
        r.pool(run, later=1)
        seen.append(grids(run)[0])
    assert seen == steps
    means = run.entries[0].maps[0].float().mean((-1, -2)), before.mean((-1, -2))
    assert torch.allclose(*means, rtol=5e-3)


def test_who_reads_while_maps_are_pooled_goes_on_with_those_it_has():
    run = fine(0)
    (held,) = run.of_role("positive")
    maps = dict(held.maps)
    recording(run, fine(1), limit=1 + run.nbytes)
    assert run.of_role("positive")[0] is not held
    assert held.maps.keys() == maps.keys() and all(held.maps[block] is one for block, one in maps.items())


def test_a_run_that_another_continues_is_the_first_to_go():
    base, half, whole, last = (fine(n) for n in range(4))
    r = recording(base, half, limit=3 * base.nbytes)
    add(r, whole, instead_of=half)
    assert len(r.runs) == 3 and grids(half) == list(FINE)
    r.memory_limit = int(3.2 * base.nbytes)
    add(r, last)
    assert grids(half) == [(16, 16)] * 4 and grids(base) == list(FINE) == grids(whole)
    r.memory_limit = int(3.1 * base.nbytes)
    add(r, run_of(latents(9)))
    assert not any(run is half for run in r.runs) and grids(base) == list(FINE)
    assert "(2)" not in refusal(r, latents(1)) and "sampled after it (3)" in refusal(r, latents(1))


def test_a_continued_run_that_is_read_after_all_is_like_any_other():
    base, half, whole = (fine(n) for n in range(3))
    r = recording(base, half, limit=3 * base.nbytes)
    add(r, whole, instead_of=half)
    assert r.match(latents(1))[0].run is half
    add(r, fine(4))
    assert grids(base)[0] == (32, 32)


def test_the_same_image_sampled_again_lets_its_first_run_go():
    first, other, second = fine(0), fine(1), fine(0)
    recording(first, other, second, limit=int(2.2 * first.nbytes))
    assert grids(first) == [(16, 16)] * 4 and grids(other) == list(FINE)


def test_remembered_runs_are_forgotten_alike():
    memory = RunMemory(memory_limit=0)
    for n in range(3):
        run = SourceRun(traces=traces_of(latents(n)))
        run.add_denoised(("1", 0), latents(n))
        add(memory, run)
    assert memory.match(latents(2)) == (memory.runs[0], "")
    text = refusal(memory, latents(0))
    assert text.startswith(
        "This image is no longer kept in Remember Run. Others were sampled after it (2), and memory_limit_mb (0)"
    )
    assert "memory_limit_mb in Remember Run" in text


def test_what_was_continued_never_stands_for_a_changed_latent():
    """The last but one step of a chain looks almost like the image."""
    image = latents(3)
    steps = [image + 0.05 * latents(n + 50) for n in range(3)]
    runs = [run_of(step, entry(prompt("cat"))) for step in steps]
    r = recording(runs[0])
    for earlier, run in zip(runs, runs[1:], strict=False):
        add(r, run, instead_of=earlier)
    add(r, run_of(latents(4), entry(prompt("dog"))))
    assert r.match(steps[1] * 1.5)[0].run is runs[2]
    r.memory_limit = 2 * runs[0].nbytes
    add(r, run_of(latents(5)))
    assert [id(run) for run in r.runs[:1]] == [id(runs[2])]
    assert r.match(steps[1] * 1.5)[0].run is runs[2]


def test_where_older_maps_cannot_be_made_smaller_all_runs_stay_and_the_next_sampling_tries_again(
    monkeypatch, caplog
):
    runs = [fine(n) for n in range(3)]
    r = recording(runs[0], limit=runs[0].nbytes * 5 // 4)

    def no_memory(entries):
        raise MemoryError("no room")

    with monkeypatch.context() as starving:
        starving.setattr(pooling, "pooled", no_memory)
        add(r, runs[1])
        assert [id(run) for run in r.runs] == [id(run) for run in runs[:2]]
    (line,) = caplog.messages
    assert "could not be made smaller (MemoryError: no room)" in line and "in Record Attention." in line
    assert all(grids(run) == list(FINE) for run in r.runs)
    add(r, runs[2])
    assert grids(r.runs[0]) != list(FINE) and len(caplog.messages) == 1
