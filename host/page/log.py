"""Warnings: in ComfyUI's log, and in the node that they are about."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from ...hrv.wording import said_in
from ..facts import running, server
from ..facts.cancel import CANCELS

EVENT = "hrv_sampling"
Made = TypeVar("Made")
PARTS = "hrv_said"

_prompt: str | None = None  # the queued prompt that the warnings in `_said` belong to
_said: set[str] = set()

node_running = running.node_id
"""The id of the node that ComfyUI is running, as its page knows it; None outside of a prompt."""


def warn(message: str) -> None:
    """Writes a warning into the log, once in each queued prompt: the tiles of an upscale are sampled one by one, and several
    nodes read what one sampling warned of. Outside of a prompt, always."""
    global _prompt
    prompt = running.prompt_id()
    if prompt is not None:
        if prompt != _prompt:
            _prompt = prompt
            _said.clear()
        if message in _said:
            return
        _said.add(message)
    logging.warning("[HRV] %s", message)


def tell(node: str | None, warnings: Sequence[str]) -> None:
    """Shows warnings in a node that has run already, as those of a sampling that it follows: they take the place of those of
    earlier prompts, so none is told as well."""
    prompt, running_server = running.prompt_id(), server.instance()
    if node is not None and prompt is not None and running_server is not None:
        told = {
            "node": node,
            "prompt_id": prompt,
            "warnings": list(warnings),
            "said": said_in(list(warnings)),
        }
        with contextlib.suppress(Exception):  # the page may be gone; the sampling goes on
            server.send(running_server, EVENT, told)


def made_or_warning(make: Callable[[], Made], failed: Callable[[str], str]) -> Made | None:
    """What `make` gives; None, and a warning in the running node, where it fails: an image is to be made in any case. failed(reason) → the
    sentence that says so."""
    try:
        return make()
    except CANCELS:
        raise
    except Exception as error:
        sentence = failed(str(error))
        warn(sentence)
        tell(node_running(), [sentence])
        return None


def tell_parts(error: Exception) -> None:
    """Lets the page say the error of the running node in its language: ComfyUI sends it as English text."""
    parts, node, running_server = said_in(list(error.args)), running.node_id(), server.instance()
    if parts and node is not None and running_server is not None:
        with contextlib.suppress(Exception):
            server.send(running_server, PARTS, {"node": node, "said": parts})
