"""Which evaluations of a transformer are recorded, and what that is reckoned to take."""

from types import SimpleNamespace

import pytest
import token_rig
import torch
from token_rig import draw, empty, prompt, studio

from hrv_pack.host.facts import families
from hrv_pack.host.facts.families import Family
from hrv_pack.host.follow.recorded_schedule import Effort, RecordedSchedule
from hrv_pack.hrv.recording.schedule import Bin, Schedule


@pytest.mark.parametrize(
    ("every", "effort", "expected"),
    [
        (0, Effort(0.04), [1, 2, 3, 4, 5, 6, 7, 8]),
        (0, Effort(0.10), [5, 6, 7, 8]),
        (0, Effort(0.21), [8]),
        (0, Effort(9.0), [8]),
        (0, Effort(0.04, most=0.25), [7, 8]),
        (0, Effort(0.10, most=0.25), [7, 8]),
        (0, Effort(0.04, most=0.1), [8]),
        (1, Effort(9.0, most=0.25), [1, 2, 3, 4, 5, 6, 7, 8]),
        (3, Effort(), [2, 5, 8]),
        (100, Effort(), [8]),
    ],
)
def test_which_evaluations_are_recorded(every, effort, expected):
    sigmas = [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0]
    whole = Schedule((0.0, 1.0), (Bin(0),))
    schedule = RecordedSchedule(None, whole, every=every, sigmas=sigmas, effort=effort)
    taken = [number for number, sigma in enumerate(sigmas[:-1], 1) if schedule.bin_of(sigma) is not None]
    assert taken == expected


class Sent:
    """An evaluation on a card. read: whether its sigma was asked for."""

    is_sent = True

    def __init__(self, sigma: float):
        self._sigma, self.read = sigma, False

    @property
    def sigma(self) -> float:
        self.read = True
        return self._sigma

    def send_sigma(self) -> None:
        pass


SIGMAS = [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("evaluated", "recorded", "waited"),
    [
        pytest.param(SIGMAS[:-1], [7, 8], [6, 7, 8], id="one in each step"),
        pytest.param(
            [8, 7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1],
            [12, 13, 14, 15],
            list(range(6, 16)),
            id="two in each",
        ),
        pytest.param([8, 6, 4, 2, 1.5, 1], [4, 5, 6], [4, 5, 6], id="ahead of its schedule"),
    ],
)
def test_a_card_is_waited_for_only_near_the_end(evaluated, recorded, waited):
    whole = Schedule((0.0, 1.0), (Bin(0),))
    schedule = RecordedSchedule(None, whole, sigmas=SIGMAS, effort=Effort(0.04, most=0.25))
    taken, read = [], []
    for number, sigma in enumerate(evaluated, 1):
        evaluation = Sent(float(sigma))
        if schedule.moment_of(evaluation).is_recorded:
            taken.append(number)
        if evaluation.read:
            read.append(number)
    assert (taken, read) == (recorded, waited)


def test_automatic_takes_the_later_evaluations_and_says_how_many():
    """A small Flux spends most of its time on attention, so recording all of it would cost too much."""
    found = studio("Flux", every=0)
    positive, negative, latent = prompt("Flux"), prompt("Flux", seed=1), empty("Flux")
    plain = draw(found.model, positive, negative, latent, steps=6)
    assert torch.equal(plain, draw(found.recorded, positive, negative, latent, steps=6))
    assert found.run.entries[0].count() == 1 and not found.run.warnings
    parts = studio("Flux", every=0, time_bins=2)
    draw(parts.recorded, positive, negative, latent, steps=30)
    assert min(parts.run.entries[0].counts) > 0 and parts.run.entries[0].count() < 30


@pytest.mark.parametrize(("every", "recorded"), [(0, 1), (1, 6)])
def test_two_halves_of_one_image(every, recorded):
    """Of the first half nothing is needed where the end shows things best."""
    found, given, latent = studio("Flux", every=every), prompt("Flux"), empty("Flux")
    for start, end in ((0, 3), (3, 6)):
        part = {
            "start_step": start,
            "last_step": end,
            "disable_noise": start > 0,
            "force_full_denoise": end == 6,
        }
        latent = {"samples": draw(found.recorded, given, given, latent, steps=6, cfg=1.0, **part)}
    (match,) = found.recording.match(latent["samples"])
    (entry,) = match.run.entries
    assert match.exact and entry.count() == recorded and not match.run.warnings


def test_what_recording_a_large_flux_costs(monkeypatch):
    """Of Flux at 1024²: width 3072, 4096 + 512 tokens. `bench --only joint` has what it really takes."""
    monkeypatch.setattr(families, "family_of", lambda network: Family("", "", (), width="width"))
    assert families.attention_share(SimpleNamespace(width=3072), 4608) == pytest.approx(0.2)


@pytest.mark.parametrize(("backend", "recorded"), [("attention_sub_quad", 10), ("attention_pytorch", 30)])
def test_a_timeline_takes_what_can_be_afforded(backend, recorded, monkeypatch):
    """A text that is short beside the image costs little where the kernel tells its sums."""
    token_rig.choose(backend, monkeypatch)
    found, latent = studio("Flux", every=0, time_bins=2), empty("Flux", height=64, width=64)
    given = prompt("Flux", 9)
    draw(found.recorded, given, given, latent, steps=30, cfg=1.0)
    (entry,) = found.run.entries
    assert min(entry.counts) > 0 and (entry.count() == 30 if recorded == 30 else entry.count() <= recorded)
