"""The node that ComfyUI is running: which it is, its bar, and whether the user has cancelled."""

from __future__ import annotations

import comfy.model_management
import comfy.utils
from comfy_execution.utils import get_executing_context


def node_id() -> str | None:
    """The id of the node that runs, as the page knows it; None outside of a prompt."""
    context = get_executing_context()
    return None if context is None else context.node_id


def prompt_id() -> str | None:
    """The id of the queued prompt that runs; None outside of one."""
    context = get_executing_context()
    return None if context is None else context.prompt_id


def stop_if_cancelled() -> None:
    """Raises ComfyUI's own exception (`cancel.CANCELS`) once the user has cancelled."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def bar(total: int):
    """The bar of the node that runs."""
    return comfy.utils.ProgressBar(total)


def move(bar, done: int, total: int, preview=None) -> None:
    """preview: what ComfyUI's previewers give, or None."""
    bar.update_absolute(done, total, preview)
