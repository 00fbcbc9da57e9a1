"""What a node tells when it has run: previews, a text, warnings."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from ..host.page.log import warn
from ..host.page.previews import preview
from ..hrv.wording import said_in


def shown(
    cls: type,
    images: torch.Tensor | dict | None = None,
    text: str | None = None,
    warnings: Iterable[str] = (),
    notes: Iterable[str] = (),
    **more: tuple | list,
) -> dict:
    """For `NodeOutput(ui=…)`. Warnings go into the log as well.

    images: (batch, height, width, channel) to preview, or {"images": …} of previews that are saved already. text: for scripts that
    read the history, with the warnings below. warnings, notes: what the page shows in the node (js/hrv_messages.js), and the
    history has under `hrv_messages`. more: further keys, each a list or tuple; of dicts the page learns what their sentences are made of.

    A node gives the same keys in every run: of a node that runs once for each item of a list, ComfyUI joins them key by key.
    """
    told = {"warnings": list(warnings), "notes": list(notes)}
    for warning in told["warnings"]:
        warn(warning)
    if isinstance(images, torch.Tensor):
        images = preview(images, cls, legible=True)
    lines = [] if text is None else [text, *(f"⚠ {warning}" for warning in told["warnings"])]
    return {
        **(images or {}),
        **({"text": ("\n".join(lines),)} if lines else {}),
        "hrv_messages": (_with_parts(told),),
        **{key: type(values)(_with_parts(one) for one in values) for key, values in more.items()},
    }


def _with_parts(value):
    """A dict with what the page makes sentences of its own language from (hrv/wording.py); anything else as it is."""
    parts = said_in(value) if isinstance(value, dict) else {}
    return {**value, "said": parts} if parts else value
