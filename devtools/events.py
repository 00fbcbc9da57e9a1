"""What a ComfyUI server says over its websocket while it works, gathered into one `Result` per prompt."""

import asyncio
import contextlib
import json
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp

PROGRESS_TEXT = 3  # binary messages start with their type; this one carries a node's progress text
ENDINGS = {"execution_success": "success", "execution_error": "error", "execution_interrupted": "interrupted"}


@dataclass
class Image:
    """One picture from a node's output, with the file's bytes."""

    filename: str
    subfolder: str
    type: str
    data: bytes = field(repr=False)


@dataclass
class Result:
    """What became of a prompt.

    status: success, error or interrupted.
    outputs: node id to what the node showed (`ui`), as in /history.
    images: node id to its pictures.
    ran, cached: ids of the nodes that ran, in order, and of those whose earlier result was used.
    progress: (node id, value, maximum), in order.
    texts: (node id, text) of progress texts, in order.
    error: the server's execution_error message, or {}.
    """

    prompt_id: str
    status: str = ""
    outputs: dict = field(default_factory=dict)
    images: dict[str, list[Image]] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    cached: list[str] = field(default_factory=list)
    progress: list[tuple[str, float, float]] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    error: dict = field(default_factory=dict)

    @property
    def message(self) -> str:
        """The error in one line: which node, what it said."""
        if not self.error:
            return "no error"
        node = f"{self.error.get('node_type')} (node {self.error.get('node_id')})"
        return (
            f"{node}: {self.error.get('exception_type')}: {self.error.get('exception_message', '').strip()}"
        )

    def take(self, kind: str, data: dict) -> bool:
        """Add one message of this prompt; True if it is the last, when the history holds the outputs."""
        if kind == "executing":
            if data.get("node") is None:
                return True
            self.ran.append(data["node"])
        elif kind == "execution_cached":
            self.cached += data["nodes"]
        elif kind == "progress":
            self.progress.append((data.get("node"), data["value"], data["max"]))
        elif kind == "progress_text":
            self.texts.append((data["node"], data["text"]))
        elif kind in ENDINGS:
            self.status = ENDINGS[kind]
            if kind == "execution_error":
                self.error = data
        return False


class EventStream:
    """Keeps every message of one websocket, in order, from entering until leaving the context.

    A thread listens, so that nothing is lost between two prompts.
    """

    def __init__(self, url: str):
        self._url = url
        self._events: list[tuple[str, dict]] = []
        self._news = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._connected = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "EventStream":
        self._thread.start()
        if not self._connected.wait(30):
            raise OSError(f"no websocket at {self._url}")
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended already if the server went first
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(10)

    def since(self, position: int, timeout: float) -> list[tuple[str, dict]]:
        """Messages from `position` on, after waiting up to `timeout` seconds for the first of them."""
        with self._news:
            self._news.wait_for(lambda: len(self._events) > position, timeout)
            return self._events[position:]

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._task = self._loop.create_task(self._listen())
        with contextlib.suppress(asyncio.CancelledError, aiohttp.ClientError):
            self._loop.run_until_complete(self._task)
        self._loop.close()

    async def _listen(self) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(self._url, max_msg_size=0) as socket,
        ):
            self._connected.set()
            async for message in socket:
                event = parse(message)
                if event:
                    with self._news:
                        self._events.append(event)
                        self._news.notify_all()


def parse(message: aiohttp.WSMessage) -> tuple[str, dict] | None:
    """A websocket message as (kind, data); None for previews and the like."""
    if message.type == aiohttp.WSMsgType.TEXT:
        content = json.loads(message.data)
        return content["type"], content.get("data") or {}
    if message.type == aiohttp.WSMsgType.BINARY and struct.unpack(">I", message.data[:4])[0] == PROGRESS_TEXT:
        end_of_node = 8 + struct.unpack(">I", message.data[4:8])[0]
        node, text = message.data[8:end_of_node].decode(), message.data[end_of_node:].decode()
        return "progress_text", {"node": node, "text": text}
    return None


def collect(
    events: EventStream, prompt_id: str, timeout: float, on_event: Callable | None, still_there: Callable
) -> Result:
    """Gather a prompt's messages until it ends. Raises `TimeoutError`, or what `still_there()` raises."""
    result = Result(prompt_id)
    deadline = time.monotonic() + timeout
    position, running, done = 0, False, False
    while not done:
        if time.monotonic() > deadline:
            raise TimeoutError(f"prompt {prompt_id} took longer than {timeout} s")
        still_there()
        fresh = events.since(position, timeout=1)
        position += len(fresh)
        for kind, data in fresh:
            running = data.get("prompt_id", prompt_id if running else None) == prompt_id
            if running:  # progress texts carry no prompt id: they belong to the one that runs
                if on_event:
                    on_event(kind, data)
                done = result.take(kind, data) or done
    return result
