"""Progress bar and cancel button of the node that is running."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..facts import running, server

Progress = Callable[[int, int], None]
SECONDS_BETWEEN_LINES = 1.0


def node_progress() -> Progress:
    """A callback (done, total) that moves the node's bar, and raises ComfyUI's own exception once the user cancels."""
    bar = None

    def report(done: int, total: int) -> None:
        nonlocal bar
        running.stop_if_cancelled()
        bar = bar or running.bar(total)
        running.move(bar, done, total)

    return report


class LongWork:
    """Bar, preview and a line with the time left, on the node that is running.

    work = LongWork(400, lambda done, left: f"{done} of 400")
    work.step(1, preview)      # preview: what ComfyUI's previewers give, or None
    """

    def __init__(self, total: int, text: Callable[[int, float | None], str]):
        """text: what the line says, given what is done and the seconds that are left (None: not known yet)."""
        self._bar = running.bar(total)
        self._total, self._text, self._said = total, text, 0.0
        self._start = time.monotonic()

    def step(self, done: int, preview=None) -> None:
        """`done` of the total are done. Raises ComfyUI's own exception once the user cancels."""
        running.stop_if_cancelled()
        running.move(self._bar, done, self._total, preview)
        now = time.monotonic()
        if now - self._said >= SECONDS_BETWEEN_LINES or done == self._total:
            self._said = now
            left = (now - self._start) / done * (self._total - done) if done else None
            say(self._text(done, left))


def say(text: str) -> None:
    """Shows a line on the node that is running, where the host can."""
    node, running_server = running.node_id(), server.instance()
    if node is not None and running_server is not None:
        server.show_line(running_server, text, node)
