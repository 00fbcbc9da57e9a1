"""Several samplings that made one image: what the last one's run then holds."""

import dataclasses

import pytest
import torch
from prompts import prompt
from synthetic import GRIDS, LAYOUT, entry, recording, run_of

from hrv_pack.hrv.heads.layout import Layout
from hrv_pack.hrv.recording.chains import Beginning, beginning, join
from hrv_pack.hrv.recording.recording import Run
from hrv_pack.hrv.recording.schedule import Bin

HIGHEST = 14.6
SIGMAS = torch.tensor([7.0, 3.0, 0.0])


def latents(seed=0, count=2):
    return torch.randn(count, 4, 8, 12, generator=torch.Generator().manual_seed(seed))


def began(r, latent, noise=None, sigmas=SIGMAS):
    return beginning(r, latent, torch.zeros_like(latent) if noise is None else noise, sigmas, HIGHEST)


def joined(earlier, later, rows=(0, 1)) -> Run:
    assert join(later, Beginning(earlier, rows))
    return later


def test_it_goes_on_with_the_run_whose_latent_it_takes():
    x = latents()
    r = recording(run_of(x, entry(prompt("cat"), batch=2)), run_of(latents(1), entry(prompt("cat"), batch=2)))
    assert began(r, x) == Beginning(r.runs[0], (0, 1))
    assert began(r, x[1:]) == Beginning(r.runs[0], (1,))
    assert began(r, x.flip(0)).rows == (1, 0)


def test_a_rounded_latent_is_known_as_well():
    """--fp16-intermediates."""
    x = latents()
    assert began(recording(run_of(x.half(), entry(prompt("cat"), batch=2))), x).rows == (0, 1)


@pytest.mark.parametrize(
    ("latent", "noise", "sigmas"),
    [
        (latents(), latents(5), SIGMAS),  # img2img
        (latents(), None, torch.tensor([HIGHEST, 3.0, 0.0])),  # a whole schedule
        (torch.zeros(2, 4, 8, 12), None, SIGMAS),  # an empty latent
        (latents(), None, torch.tensor([0.0, 3.0, HIGHEST])),  # backwards, from an image to noise
        (latents(), None, torch.tensor([7.0])),  # no step at all
    ],
)
def test_other_samplings_begin_anew(latent, noise, sigmas):
    r = recording(run_of(latents(), entry(prompt("cat"), batch=2)))
    assert began(r, latent, noise, sigmas) == Beginning()
    run = run_of(latents(3))
    assert not join(run, Beginning()) and run.warnings == []


def test_what_is_missing_is_said():
    x, y = latents(), latents(1)
    r = recording(run_of(x, entry(prompt("cat"), batch=2)), run_of(y, entry(prompt("cat"), batch=2)))
    few = recording(run_of(x), run_of(y, entry(prompt("cat"), batch=2)), limit=1)
    cases = {
        "from a latent that did not come unchanged from a recorded sampler": began(r, x + 1),
        "put together from images of several samplers": began(r, torch.cat([x[:1], y[1:]])),
        "the recording of the earlier steps was no longer kept": began(few, x),
    }
    for text, begun in cases.items():
        run = run_of(latents(3))
        assert not join(run, begun)
        (warning,) = run.warnings
        assert warning.startswith("Only the last steps are shown: ") and text in warning
    other = dataclasses.replace(r.runs[0], layout=Layout(LAYOUT.blocks[:2]))
    run = run_of(latents(3))
    assert not join(run, Beginning(other, (0, 1))) and "different layers" in run.warnings[0]


def test_sums_and_evaluations_are_added():
    first = run_of(latents(), entry(prompt("cat"), batch=2, counts=(3, 0), seed=1), warnings=["one"])
    second = run_of(latents(1), entry(prompt("cat"), batch=2, counts=(1, 4), seed=2), warnings=["two", "one"])
    parts = [dict(run.entries[0].maps) for run in (first, second)]
    (found,) = joined(first, second).entries
    assert found.counts == [4, 4] and found.layer_counts == {}
    for block in range(4):
        plain = (parts[0][block].float() + parts[1][block].float()).half()
        assert torch.equal(found.maps[block], plain) and found.maps[block].dtype == torch.float16
    assert second.warnings == ["two", "one"] and first.entries[0].counts == [3, 0]
    assert all(first.entries[0].maps[block] is parts[0][block] for block in range(4))
    second.warnings = ["two"]
    joined(first, second)
    assert second.warnings == ["one", "two"]


def test_each_image_takes_the_maps_of_its_own_row():
    first = run_of(latents(count=3), entry(prompt("cat"), batch=3, seed=1))
    second = run_of(latents(1), entry(prompt("cat"), batch=2, seed=2))
    before = second.entries[0].maps[0].float()
    (found,) = joined(first, second, rows=(2, 0)).entries
    assert torch.equal(found.maps[0], (first.entries[0].maps[0][[2, 0]].float() + before).half())


def test_other_texts_and_roles_stand_beside_each_other():
    first = run_of(
        latents(),
        entry(prompt("cat"), batch=2),
        entry(prompt("dog"), index=1, batch=2),
        entry(None, role="negative", batch=2),
    )
    second = run_of(latents(1), entry(prompt("dog"), batch=2), entry(prompt("cat"), role="negative", batch=2))
    found = joined(first, second).entries
    assert [(e.role, e.index, e.prompt and e.prompt.words()[0].text, e.count()) for e in found] == [
        ("positive", 0, "dog", 10),
        ("positive", 1, "cat", 5),
        ("negative", 0, "cat", 5),
        ("negative", 1, None, 5),
    ]


def test_two_conditionings_of_one_text_keep_apart():
    """Areas with the same words."""
    pair = [entry(prompt("cat"), batch=2, index=n, seed=n) for n in (0, 1)]
    again = [entry(prompt("cat"), batch=2, index=n, seed=n + 5) for n in (0, 1)]
    plain = [(a.maps[0].float() + b.maps[0].float()).half() for a, b in zip(pair, again, strict=True)]
    found = joined(run_of(latents(), *pair), run_of(latents(1), *again)).entries
    assert [torch.equal(e.maps[0], p) for e, p in zip(found, plain, strict=True)] == [True, True]


def test_maps_that_were_made_smaller_meet_on_the_smaller_grid():
    coarse = ((4, 6), *GRIDS[1:])
    first = run_of(latents(), entry(prompt("cat"), batch=2, grids=coarse, seed=1))
    second = run_of(latents(1), entry(prompt("cat"), batch=2, seed=2))
    fine = second.entries[0].maps[0].float()
    (found,) = joined(first, second).entries
    pooled = fine.unflatten(-1, (6, 2)).unflatten(-3, (4, 2)).mean((-1, -3))
    plain = first.entries[0].maps[0].float() + pooled
    assert torch.allclose(found.maps[0].float(), plain, rtol=1e-3, atol=1e-3)
    assert found.maps[3].shape[-2:] == GRIDS[3]


def test_a_layer_that_only_one_of_them_has_keeps_its_own_count():
    first = run_of(latents(), entry(prompt("cat"), batch=2, counts=(3,), seed=1))
    second = run_of(latents(1), entry(prompt("cat"), batch=2, counts=(4,), seed=2))
    del first.entries[0].maps[2]
    kept = second.entries[0].maps[2]
    (found,) = joined(first, second).entries
    assert found.counts == [7] and found.layer_counts == {2: [4]} and torch.equal(found.maps[2], kept)


def test_a_prompt_that_only_the_first_half_has_seen():
    """record window, or a sampler that ran out: nothing recorded in the second half."""
    first = run_of(latents(), entry(prompt("cat"), batch=2))
    (found,) = joined(first, run_of(latents(1))).entries
    assert found is first.entries[0]


def test_early_and_late_steps_keep_their_bins():
    """The first half has early evaluations and a few late ones, the second only late ones."""
    first = run_of(latents(), entry(prompt("cat"), batch=2, counts=(6, 1), seed=1))
    second = run_of(latents(1), entry(prompt("cat"), batch=2, counts=(3,), seed=2))
    first.entries[0].bins, second.entries[0].bins = (Bin(0), Bin(0, True)), (Bin(0, True),)
    maps = [dict(run.entries[0].maps) for run in (first, second)]
    (found,) = joined(first, second).entries
    assert found.bins == (Bin(0), Bin(0, True)) and found.counts == [6, 4]
    for block in range(4):
        assert torch.equal(found.maps[block][:, 0], maps[0][block][:, 0])
        late = (maps[0][block][:, 1].float() + maps[1][block][:, 0].float()).half()
        assert torch.equal(found.maps[block][:, 1], late)
