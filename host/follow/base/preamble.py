"""What every follower begins with when its node runs: clones, and what is known of the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ....hrv.heads.layout import Layout
from ....hrv.wording import sentences
from ...facts.layers import UnsupportedModel, layout_of_model
from ...page import log
from ...text.clip_trace import trace
from ...text.text_registry import TextRegistry


@dataclass
class Clones:
    """Clones of a MODEL and of a CLIP that notes what it encodes in `registry`; clip None for None.

    layout: the model's cross-attention layers; None where it has none, and `reason` then says so.
    """

    model: Any
    clip: Any
    registry: TextRegistry
    layout: Layout | None = None
    reason: str = ""


def clones(model, clip) -> Clones:
    """For following a model of any kind: nothing is asked of it."""
    registry = TextRegistry()
    return Clones(model.clone(), None if clip is None else trace(clip, registry), registry)


def clones_with_layout(
    model, clip, without: str, layout_of: Callable[[Any], Layout] = layout_of_model
) -> Clones:
    """For following layers, those that `layout_of` finds. Of a model without attention of this kind the log and the node say so, and what
    becomes of the picture: without, a sentence."""
    made = clones(model, clip)
    try:
        made.layout = layout_of(made.model)
    except UnsupportedModel as error:
        made.reason = str(error)
        warning = sentences(str(error), without)
        log.warn(warning)
        log.tell(log.node_running(), [warning])
    return made
