"""The checks of what the pack knows of ComfyUI, by the name of the fact: `<module in host/facts>.<name>`.

A check looks the fact up in the running host, and raises when it is not there. It reads the name from host/facts.
"""

from __future__ import annotations

from collections.abc import Callable

CHECKS: dict[str, Callable] = {}


def fact(name: str):
    """Registers a function, called with the fixture `comfy`, as the check of this fact."""

    def register(check: Callable) -> Callable:
        assert name not in CHECKS, f"{name} is checked twice"
        CHECKS[name] = check
        return check

    return register
