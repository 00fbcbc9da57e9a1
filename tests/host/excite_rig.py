"""What the tests of Attend and Excite share: a model that is excited, and what its latent is moved by."""

import contextlib

import rig
import torch

from hrv_pack.host.follow import excited_sampling
from hrv_pack.host.follow.exciter import excite
from hrv_pack.hrv.steer.attend_excite import Excitement

SMALL = rig.empty(1, 8, 16)
SHORT = {"steps": 1, "latent": SMALL}
FIRST = {"end_percent": 0.05}  # only the first evaluation


def excited(studio_or_model, words="cat", clip=None, **settings):
    model = studio_or_model.model if isinstance(studio_or_model, rig.Studio) else studio_or_model
    names = tuple(word.strip() for word in words.split(",") if word.strip())
    return excite(model, clip, Excitement(names, **settings))[0]


def draw(model, studio, **options) -> torch.Tensor:
    return rig.sample(model, studio.positive, studio.negative, **{**SHORT, **options})


def complaints(caplog) -> list[str]:
    return [record.message for record in caplog.records if "[HRV]" in record.message]


@contextlib.contextmanager
def shifts():
    """(x before, shift) of every evaluation that was excited."""
    found, real = [], excited_sampling.ExcitedSampling.shift

    def noting(self, evaluation):
        before, shift = evaluation.x.clone(), real(self, evaluation)
        if shift is not None:
            found.append((before, shift.clone()))
        return shift

    excited_sampling.ExcitedSampling.shift = noting
    try:
        yield found
    finally:
        excited_sampling.ExcitedSampling.shift = real


def shift_of(model, studio, **options) -> torch.Tensor:
    """What the first evaluation is moved by."""
    with shifts() as found:
        draw(model, studio, **options)
    return found[0][1]


def as_latent(studio, latent: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """A latent that, with the same noise, gives x + shift."""
    return latent + studio.model.model.process_latent_out(shift).to(latent)
