"""ComfyUI's server, where there is one."""

from __future__ import annotations

from server import PromptServer


def instance() -> PromptServer | None:
    """The server that runs; None where ComfyUI is used without."""
    return getattr(PromptServer, "instance", None)


def has_route(server, path: str) -> bool:
    return any(getattr(route, "path", None) == path for route in server.routes)


def add_post(server, path: str, answer) -> None:
    """Lets `answer`, an aiohttp handler, answer to POST. Routes are added before the server starts."""
    server.routes.post(path)(answer)


def send(server, event: str, data: dict) -> None:
    """Sends an event to the page whose prompt is running."""
    server.send_sync(event, data, server.client_id)


def show_line(server, text: str, node: str) -> None:
    """Shows a line of text on a node."""
    server.send_progress_text(text, node)
