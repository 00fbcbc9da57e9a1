"""Recording as it goes on a graphics card gives the maps that it gives on the CPU, whatever samplings there are."""

import pytest
import rig
import stand_in_card
import steering_rig
import token_rig
import torch
from rig import ON_GPU

from hrv_pack.host.follow import recorded_rows
from hrv_pack.host.follow.capture import Capture
from hrv_pack.host.follow.steerer import steer

pytestmark = pytest.mark.skipif(ON_GPU, reason="addresses of a card cannot be read")


@pytest.fixture
def looked_at(monkeypatch):
    """Layers that were not launched as they were before; grows."""
    found, real = [], Capture._record

    def noting(self, recorded, at):
        found.append(at.layer.number)
        real(self, recorded, at)

    monkeypatch.setattr(Capture, "_record", noting)
    return found


def maps_of(recording) -> dict[tuple, torch.Tensor]:
    run = recording.runs[-1]
    assert not run.warnings
    return {
        (entry.role, entry.index, number): maps
        for entry in run.entries
        for number, maps in entry.maps.items()
    }


@pytest.mark.parametrize(
    ("kind", "held"),
    [
        pytest.param("sdxl", 1, id="one by one"),
        pytest.param("sdxl", 2**30, id="all at once"),
        pytest.param("sd1", 2**30, id="sd1"),
    ],
)
def test_maps_are_the_same(kind, held, monkeypatch, looked_at):
    """In both bins of the schedule, of both prompts, of two images."""
    studio = rig.studio(kind, negative="ugly " * 100, record_negative=True)

    def draw(steps: int):
        latent = rig.sample(studio.recorded, studio.positive, studio.negative, rig.empty(2), steps=steps)
        return latent, maps_of(studio.recording)

    latent, expected = draw(4)
    looked_at.clear()
    launched = stand_in_card.put_in(monkeypatch)
    monkeypatch.setattr(recorded_rows, "HELD_BYTES", held)
    again, found = draw(4)
    assert torch.equal(latent, again) and stand_in_card.is_close(found, expected)
    layers = len(studio.recording.layout.blocks)
    assert len(looked_at) == 2 * layers, "each is looked at once in each bin"
    assert sum(number for _, number in launched) == 4 * 2 * layers
    assert (len(launched) < 4 * layers) == (held > 1)


def test_layers_that_come_otherwise_are_looked_at_anew(monkeypatch, looked_at):
    """A larger image by the same recorder, and back."""
    studio = rig.studio()

    def draw(side: int):
        rig.sample(studio.recorded, studio.positive, studio.negative, rig.empty(1, side, side), steps=2)
        return maps_of(studio.recording)

    expected = {side: draw(side) for side in (16, 24)}
    stand_in_card.put_in(monkeypatch)
    for side in (24, 16):
        assert stand_in_card.is_close(draw(side), expected[side])


@pytest.mark.parametrize("shown", [False, True])
def test_what_is_steered(shown, monkeypatch):
    studio = rig.studio()
    steering = steering_rig.scaling(studio.recording.layout, "cat", end_percent=0.5, record_steered=shown)
    model, _ = steer(studio.recorded, None, steering)

    def draw():
        rig.sample(model, studio.positive, studio.negative, steps=4)
        return maps_of(studio.recording)

    expected = draw()
    launched = stand_in_card.put_in(monkeypatch)
    assert stand_in_card.is_close(draw(), expected) and launched


def test_maps_that_are_made_smaller(monkeypatch):
    studio, latent = rig.studio(memory_limit=200_000), rig.empty(1, 48, 48)

    def draw():
        rig.sample(studio.recorded, studio.positive, studio.negative, latent, steps=4)
        run = studio.recording.runs[-1]
        assert "scaled down" in run.explanation
        return run.entries[0].maps

    expected = draw()
    stand_in_card.put_in(monkeypatch)
    assert stand_in_card.is_close(draw(), expected)


@pytest.mark.parametrize("family", token_rig.known())
def test_transformers(family, monkeypatch):
    studio = token_rig.studio(family)
    prompts, latent = (
        (token_rig.prompt(family), token_rig.prompt(family, 12, seed=1)),
        token_rig.empty(family, 2),
    )

    def draw():
        token_rig.draw(studio.recorded, *prompts, latent)
        return studio.run.entries[0].maps

    expected = draw()
    stand_in_card.put_in(monkeypatch)
    assert stand_in_card.is_close(draw(), expected)


def test_nothing_is_held_when_all_is_done(monkeypatch):
    """Neither by the recording nor by what waits for the kernel."""
    studio = rig.studio()
    captures = []
    real = Capture.__init__

    def noting(self, *args):
        real(self, *args)
        captures.append(self)

    monkeypatch.setattr(Capture, "__init__", noting)
    stand_in_card.put_in(monkeypatch)
    rig.sample(studio.recorded, studio.positive, studio.negative)
    (one,) = captures
    assert not one._launched._repeats and not one._sums._layers and not one._sums._launches._waiting
