"""Warnings in ComfyUI's log."""

from __future__ import annotations

import logging

from comfy_execution.utils import get_executing_context

_prompt: str | None = None  # the queued prompt that the warnings in `_said` belong to
_said: set[str] = set()


def warn(message: str) -> None:
    """Writes a warning into the log, once in each queued prompt: the tiles of an upscale are sampled one by one, and several
    nodes read what one sampling warned of. Outside of a prompt, always."""
    global _prompt
    context = get_executing_context()
    if context is not None:
        if context.prompt_id != _prompt:
            _prompt = context.prompt_id
            _said.clear()
        if message in _said:
            return
        _said.add(message)
    logging.warning("[HRV] %s", message)
