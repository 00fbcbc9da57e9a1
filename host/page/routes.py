"""Routes of the pack on ComfyUI's own server.

    POST /hrv/lens/maps   {"id", "picture", "words", "concept"?, "percent"?, "time_bin"?}  → maps of some words

A client names nothing but ids that the server gave it: no path, no file. Whatever is asked wrongly is answered with
4xx and {"error": "what to do"}.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import torch
from aiohttp import web
from comfy_api.latest import ui

from ...hrv.look.lens import WORDS_AT_ONCE, LensGone, Look
from ...hrv.look.lens_shelf import LensShelf
from ...hrv.relevance.vectors import PERCENT
from ...hrv.wording import said, said_in
from ..facts import server

MAPS = "/hrv/lens/maps"
LONGEST_BODY = 16_384
LONGEST_NAME = 100
WAITING_AT_MOST = 16

LENSES = LensShelf()
_worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hrv-lens")
_waiting = threading.BoundedSemaphore(WAITING_AT_MOST)


class Refused(Exception):
    """A request that is answered with an error: (HTTP status, words for the user)."""

    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status = status


def shown_lens(found: Look, cls: type) -> dict:
    """What the page gets of a lens: its payload, where its images are, and the id by which it asks for more. cls: the node."""
    pictures = ui.PreviewImage(found.pictures, cls=cls).as_dict()["images"]
    return {"id": LENSES.add(found.lens), "pictures": [dict(one) for one in pictures], **found.payload}


def register() -> None:
    """Adds the routes to the running ComfyUI; does nothing where there is no server, or they are there already."""
    running = server.instance()
    if running is not None and not server.has_route(running, MAPS):
        server.add_post(running, MAPS, lens_maps)


async def lens_maps(request: web.Request) -> web.Response:
    """Maps of some words of a lens for other heads or another part of the schedule."""
    try:
        question = read_question(await _body(request))
        lens = LENSES.get(question.pop("id"))
        if not _waiting.acquire(blocking=False):
            raise Refused(429, said("The lens is busy. Wait a moment and try again."))
        try:
            answer = await asyncio.get_running_loop().run_in_executor(_worker, _answer, lens, question)
        finally:
            _waiting.release()
    except Refused as error:
        return _refusal(error, error.status)
    except LensGone as error:
        return _refusal(error, 410)
    except ValueError as error:
        return _refusal(error, 400)
    except Exception as error:
        logging.exception("[HRV] The lens could not answer.")
        return web.json_response({"error": f"The lens could not answer: {error}"}, status=500)
    return web.json_response({**answer, "said": said_in(answer)})


def _refusal(error: Exception, status: int) -> web.Response:
    return web.json_response({"error": str(error), "said": said_in(list(error.args))}, status=status)


def read_question(body: bytes) -> dict:
    """The fields of a request, each checked: `Lens.answer`'s arguments and the id. Raises Refused."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "The request is not JSON.") from None
    if not isinstance(fields, dict):
        raise Refused(400, "The request must be a JSON object.")
    unknown = set(fields) - {"id", "picture", "words", "concept", "percent", "time_bin"}
    if unknown:
        raise Refused(400, f"The request has an unknown field: {sorted(unknown)[0]!r:.80}.")
    if not re.fullmatch("[0-9a-f]{32}", _text(fields, "id") or ""):
        raise Refused(400, "The request has no valid id. Run the workflow again.")
    words = fields.get("words")
    if not isinstance(words, list) or not 0 < len(words) <= WORDS_AT_ONCE:
        raise Refused(400, f"`words` must be a list of 1 to {WORDS_AT_ONCE} numbers.")
    percent = fields.get("percent", PERCENT)
    if isinstance(percent, bool) or not isinstance(percent, (int, float)) or not 0 <= percent <= 100:
        raise Refused(400, "`percent` must be a number between 0 and 100.")
    return {
        "id": fields["id"],
        "picture": _count("picture", fields.get("picture", 0)),
        "words": [_count("words", word) for word in words],
        "concept": _text(fields, "concept"),
        "percent": float(percent),
        "time_bin": None if fields.get("time_bin") is None else _count("time_bin", fields["time_bin"]),
    }


async def _body(request: web.Request) -> bytes:
    try:
        body = b""
        async for part in request.content.iter_chunked(LONGEST_BODY):
            body += part
            if len(body) > LONGEST_BODY:
                raise Refused(413, "The request is too long.")
        return body
    except Refused:
        raise
    except Exception:  # cut off, or packed in a way that cannot be read
        raise Refused(400, "The request could not be read.") from None


def _answer(lens, question: dict) -> dict:
    with torch.inference_mode():
        return lens.answer(**question)


def _count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1_000_000:
        raise Refused(400, f"`{name}` must be a whole number from 0.")
    return value


def _text(fields: dict, name: str) -> str | None:
    value = fields.get(name)
    if value is not None and (not isinstance(value, str) or len(value) > LONGEST_NAME):
        raise Refused(400, f"`{name}` must be text of at most {LONGEST_NAME} characters.")
    return value
