"""Which run and which row a latent belongs to, and what is kept."""

import threading

import pytest
import torch
from prompts import prompt
from synthetic import GRIDS, LAYOUT, entry, recording, run_of

from hrv_pack.hrv.recording.path import RecordedPath
from hrv_pack.hrv.recording.recording import PATHS_KEPT, NoRecording, Recording, Run
from hrv_pack.hrv.runs.latents import fingerprints
from hrv_pack.hrv.runs.shelf import MAX_RUNS


def latents(count, seed=0):
    return torch.randn(count, 4, 8, 12, generator=torch.Generator().manual_seed(seed))


def test_a_fingerprint_is_of_the_numbers_of_one_picture():
    x = latents(3)
    assert len(set(fingerprints(x))) == 3
    assert fingerprints(x[1:2]) == fingerprints(x)[1:2]
    assert fingerprints(x.transpose(2, 3).contiguous().transpose(2, 3)) == fingerprints(x)
    changed = x.clone()
    changed[1, 0, 0, 0] = torch.nextafter(changed[1, 0, 0, 0], torch.tensor(9.0))
    assert [a == b for a, b in zip(fingerprints(changed), fingerprints(x), strict=True)] == [
        True,
        False,
        True,
    ]


def test_each_latent_finds_its_run_and_row():
    a, b = latents(3, seed=1), latents(2, seed=2)
    first, second = run_of(a, entry(None)), run_of(b, entry(None))
    found = recording(first, second).match(torch.cat([b[1:], a[2:], a[:1]]))
    assert [(m.run is first, m.element, m.exact) for m in found] == [
        (False, 1, True),
        (True, 2, True),
        (True, 0, True),
    ]


def test_of_two_runs_with_the_same_latent_the_newer_counts():
    x = latents(1)
    first, second = run_of(x), run_of(x)
    assert recording(first, second).match(x)[0].run is second


def test_a_latent_that_was_kept_in_half_precision_is_known():
    """--fp16-intermediates: what SamplerCustomAdvanced hands on is not rounded, what the recording kept is."""
    a, b = latents(2, seed=1), latents(2, seed=2)
    rounded, newest = run_of(a.half()), run_of(b.half())
    assert [(m.run, m.element, m.exact) for m in recording(rounded, newest).match(a)] == [
        (rounded, 0, True),
        (rounded, 1, True),
    ]


def test_without_a_run_the_error_says_what_to_connect():
    with pytest.raises(NoRecording, match="model output to the sampler"):
        recording().match(latents(1))
    with pytest.raises(NoRecording, match="^This model has no cross-attention$"):
        Recording(None, 0, problem="This model has no cross-attention").match(latents(1))


def test_sizes_are_those_of_the_tensors():
    e = entry(prompt("cat"), batch=2, counts=(1, 1))
    values = sum(2 * 2 * b.heads * 3 * h * w for b, (h, w) in zip(LAYOUT.blocks, GRIDS, strict=True))
    assert e.nbytes == 2 * values
    assert Run(LAYOUT, [e, e]).nbytes == 4 * values


def test_the_working_grid_is_the_largest():
    assert Run(LAYOUT, [entry(None, grids=((4, 6), (8, 5), (2, 3), (4, 6)))]).grid == (8, 5)
    with pytest.raises(NoRecording, match="no cross-attention was recorded.*because of that"):
        _ = Run(LAYOUT, [], warnings=["It failed because of that."]).grid


def test_roles():
    positive, negative, empty = (
        entry(None),
        entry(None, role="negative"),
        entry(None, role="negative", grids=()),
    )
    run = Run(LAYOUT, [positive, negative, empty])
    assert run.roles() == ["positive", "negative"]
    assert run.of_role("positive") == [positive] and run.of_role("negative") == [negative]


def test_a_role_that_was_not_recorded_says_how_to():
    with pytest.raises(NoRecording, match=r"recorded: positive.*Switch `negative` on"):
        Run(LAYOUT, [entry(None)]).of_role("negative")
    with pytest.raises(NoRecording, match=r"recorded: none.*positive input.*It failed\."):
        Run(LAYOUT, [], warnings=["It failed."]).of_role("positive")


def test_counts():
    e = entry(None, counts=(3, 0, 4))
    assert (e.count(), e.count(0), e.count(1)) == (7, 3, 0)
    assert Run(LAYOUT, [e, entry(None)]).parts == 3


def test_threads_may_add_while_others_read():
    r = recording()
    x = latents(1)
    r.add(run_of(x))
    failures = []

    def work(action):
        try:
            for _ in range(300):
                action()
        except Exception as error:
            failures.append(error)

    others = iter(range(MAX_RUNS - 1))  # so many that the run that is asked for stays

    def add_another():
        if next(others, None) is not None:
            r.add(Run(LAYOUT))

    actions = [lambda: r.add(run_of(x)), add_another, lambda: r.runs, lambda: r.match(x)]
    threads = [threading.Thread(target=work, args=(action,)) for action in actions]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not failures and len(r.runs) == MAX_RUNS


def test_older_runs_let_go_of_their_path():
    r = recording()
    for seed in range(PATHS_KEPT + 3):
        run = run_of(latents(seed))
        run.path = RecordedPath(torch.zeros(1, 4, 8, 8), None, {"positive": []}, None)
        r.add(run)
    assert [run.path is None for run in r.runs] == [True] * 3 + [False] * PATHS_KEPT
