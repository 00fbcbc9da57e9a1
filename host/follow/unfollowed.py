"""Additional runs of the model that our followers of the sampling are not to see."""

from __future__ import annotations

from typing import Any

from ..facts.options import TRANSFORMER_OPTIONS, WRAPPERS
from .base.wrapping import CALC_COND_BATCH, DIFFUSION_MODEL
from .editor import Editor
from .recorder import Recorder
from .rememberer import Rememberer

FOLLOWERS = (Recorder.key, Rememberer.key, Editor.key)


def unfollowed(model_options: dict[str, Any]) -> dict[str, Any]:
    """A copy of the options in which what is evaluated is neither recorded, remembered nor edited."""
    options = model_options.get(TRANSFORMER_OPTIONS, {})
    wrappers = {
        kind: {key: found for key, found in keyed.items() if key not in FOLLOWERS}
        if kind in (CALC_COND_BATCH, DIFFUSION_MODEL)
        else keyed
        for kind, keyed in options.get(WRAPPERS, {}).items()
    }
    return {**model_options, TRANSFORMER_OPTIONS: {**options, WRAPPERS: wrappers}}
