"""Warnings: in ComfyUI's log, and in the node that they are about."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence

from comfy_execution.utils import get_executing_context
from server import PromptServer

EVENT = "hrv_sampling"

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


def node_running() -> str | None:
    """The id of the node that ComfyUI is running, as its page knows it; None outside of a prompt."""
    context = get_executing_context()
    return None if context is None else context.node_id


def tell(node: str | None, warnings: Sequence[str]) -> None:
    """Shows warnings in a node that has run already, as those of a sampling that it follows: they take the place of those of
    earlier prompts, so none is told as well."""
    context, server = get_executing_context(), getattr(PromptServer, "instance", None)
    if node is not None and context is not None and server is not None:
        told = {"node": node, "prompt_id": context.prompt_id, "warnings": list(warnings)}
        with contextlib.suppress(Exception):  # the page may be gone; the sampling goes on
            server.send_sync(EVENT, told, server.client_id)
