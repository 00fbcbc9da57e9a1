"""Steers cross-attention while ComfyUI samples: what a head reads from chosen words is multiplied.

All steering nodes of a model share one `Steerer`, so that their factors multiply. Only the values of the words' tokens change
(hrv.steer.factors.scale_values), so another pack's replacement of the attention works on steered values, and a recorder, before
or after, records the attention as it is without steering. In a transformer, where text and image are one sequence, only the image reads
the changed values: what it reads more is added to what it got (`added_values`).
"""

from __future__ import annotations

from functools import partial

from ...hrv.steer.factors import Steering
from ...hrv.wording import said
from ..facts.families import followed_layout_of, is_family
from .base.preamble import clones_with_layout
from .base.together import Together
from .steered_sampling import SteeredSampling, SteeredTokens


def steer(model, clip, steering: Steering):
    """Returns (model, clip): a clone that is steered, and a clone of the CLIP that notes what it encodes, None for None.

    A model whose attention cannot be steered comes back as a plain clone, with a warning. Raises ValueError when the steering was made
    for a model with other heads.
    """
    without = said("The image is generated without steering.")
    made = clones_with_layout(model, clip, without, partial(followed_layout_of, done=SteeredSampling.done))
    if made.layout is not None:
        steering.check(made.layout)
        if steering.acts:
            kind = TokenSteerer if is_family(made.model) else Steerer
            kind.join(made, steering)
    return made.model, made.clip


class Steerer(Together):
    """All steering of one model."""

    key, follower = "hrv_steer", SteeredSampling


class TokenSteerer(Steerer):
    """The same for a transformer."""

    follower = SteeredTokens
