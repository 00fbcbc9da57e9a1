"""What all nodes of the pack have in common: how an error leaves them."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable

from comfy_api.latest import io

from ..host.page.log import tell_parts

PACK = __name__.rsplit(".", 2)[0]  # ComfyUI names a pack by the path of its folder


class Node(io.ComfyNode):
    """Base of every node of the pack. What `execute` raises of our own leaves it as `in_plain_words` says."""

    def __init_subclass__(cls, **keywords):
        super().__init_subclass__(**keywords)
        execute = cls.__dict__.get("execute")
        # the copies that ComfyUI makes of a class for each run, and locks, have it already
        if execute is not None and not hasattr(execute.__func__, "__wrapped__"):
            cls.execute = classmethod(in_plain_words(execute.__func__))


def in_plain_words(execute: Callable) -> Callable:
    """The same, but an error of a class of ours becomes a ValueError with its message: of classes that are not Python's own,
    ComfyUI's page prints the name, and before it the path of the pack's folder.

    Everything else passes as it is: a cancel (an Exception on older releases, a BaseException on newer ones), memory that ran out,
    which ComfyUI knows by its class, and mistakes of ours, whose traceback a report needs.
    """

    @functools.wraps(execute)
    def wrapper(cls, *args, **kwargs):
        try:
            return execute(cls, *args, **kwargs)
        except Exception as error:
            tell_parts(error)
            if not type(error).__module__.startswith(f"{PACK}."):
                raise
            logging.debug("[HRV] %s", type(error).__name__, exc_info=error)
            message = str(error)
        raise ValueError(message)

    return wrapper
