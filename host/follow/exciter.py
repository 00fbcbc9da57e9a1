"""Attend and Excite inside ComfyUI's samplers: before an evaluation the latent moves to where the words are looked at more.

All Attend and Excite nodes of a model share one `Exciter`, so that the network runs once for all of them. Before an evaluation it
runs the positive prompts once more through the host's own path (hooks, areas, ControlNets and steering included), and the latent
is moved where it lies. A sampler keeps its x, and works out the next one from that and from the estimate it is given; only if both
are those of the moved latent does it take the step that Chefer et al. take. Where the host or a sampler hands over a copy (a latent
with a noise mask), the move reaches the image through the estimate alone.
"""

from __future__ import annotations

from ...hrv.steer.attend_excite import Excitement, grids_of, weights_on
from ...hrv.wording import said
from ..facts.patcher import network_of
from .base.preamble import Clones, clones_with_layout
from .base.together import Together
from .excited_sampling import ExcitedSampling
from .gradients import levels_of


def excite(model, clip, excitement: Excitement):
    """Returns (model, clip): a clone whose words are excited, and a clone of the CLIP that notes what it encodes, None for None.

    A model that is no UNet with cross-attention comes back as a plain clone, with a warning. Raises ValueError when the vectors were made
    for a model with other heads, or have nothing to say on this one.
    """
    made = clones_with_layout(model, clip, said("The image is generated without Attend and Excite."))
    if made.layout is not None:
        _check(excitement, made)
        if excitement.strength:
            Exciter.join(made, excitement)
    return made.model, made.clip


def _check(excitement: Excitement, made: Clones) -> None:
    if excitement.vectors is not None:
        excitement.vectors.check(made.layout)
    levels = _levels(made)
    for level in grids_of(levels, made.layout):
        layers = [number for number, found in enumerate(levels) if found == level]
        weights_on(excitement, made.layout, layers)


def _levels(made: Clones) -> list[int]:
    return levels_of(network_of(made.model), made.layout)


class Exciter(Together):
    """All Attend and Excite nodes of one model."""

    key, follower = "hrv_excite", ExcitedSampling

    def __init__(self, made: Clones, excitement: Excitement):
        super().__init__(made, excitement)
        self.levels = _levels(made)

    def new_sampling(self) -> ExcitedSampling:
        return ExcitedSampling(self.layout, self.levels, self.settings, self.registries)
