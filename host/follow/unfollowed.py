"""Additional runs of the model that our followers of the sampling are not to see."""

from __future__ import annotations

from typing import Any

from .base.wrapping import CALC_COND_BATCH, DIFFUSION_MODEL
from .editor import Editor
from .recorder import Recorder
from .rememberer import Rememberer

FOLLOWERS = (Recorder.key, Rememberer.key, Editor.key)


def unfollowed(model_options: dict[str, Any]) -> dict[str, Any]:
    """A copy of the options in which what is evaluated is neither recorded, remembered nor edited."""
    options = model_options.get("transformer_options", {})
    wrappers = {
        kind: {key: found for key, found in keyed.items() if key not in FOLLOWERS}
        if kind in (CALC_COND_BATCH, DIFFUSION_MODEL)
        else keyed
        for kind, keyed in options.get("wrappers", {}).items()
    }
    return {**model_options, "transformer_options": {**options, "wrappers": wrappers}}
