"""Progress bar and cancel button of the node that is running."""

from __future__ import annotations

from collections.abc import Callable

import comfy.model_management
import comfy.utils

Progress = Callable[[int, int], None]


def node_progress() -> Progress:
    """A callback (done, total) that moves the node's bar, and raises ComfyUI's own exception once the user cancels."""
    bar = None

    def report(done: int, total: int) -> None:
        nonlocal bar
        comfy.model_management.throw_exception_if_processing_interrupted()
        bar = bar or comfy.utils.ProgressBar(total)
        bar.update_absolute(done, total)

    return report
