"""Two thousand wrong requests to the pack's routes on a real server: never a 500, no file touched, no error in the log."""

from __future__ import annotations

import http.client
import json
import random

import pytest

REQUESTS = 2000
VALUES = [
    None, True, False, 0, 1, -1, 7, 2**31, 2**63, 10**40, -(10**40), 0.5, -0.5, 1e308, "", "cat", "0", "x" * 5_000, "\x00", "😀",
    "\ud800", "../../../../etc/passwd", "..\\..\\x", "/etc/passwd", "C:\\x", "%2e%2e%2f", "file:///etc/passwd", "${HOME}", "$(id)",
    "'; --", "__proto__", "constructor", [], {}, [[]], [0], [0] * 1_000, ["cat"], [None], [-1], {"a": 1}, "f" * 32, "0" * 32,
]  # fmt: skip
IDS = ["f" * 32, "0" * 32, "F" * 32, "f" * 31, "g" * 32, "../" * 10 + "ff", "f" * 31 + "\n"]
FIELDS = [
    "id",
    "picture",
    "words",
    "concept",
    "percent",
    "time_bin",
    "path",
    "name",
    "__class__",
    "text",
    "url",
]
RAW = [
    b"", b"{", b"null", b"[]", b"[" * 10_000, b"NaN", b'{"id": NaN}', b"\xff\xfe\x00", b'{"id":' + b"1" * 5_000 + b"}", b"a=b",
    b'{"id": "' + b"f" * 40_000 + b'"}', b'{"id": 1, "id": 2}', b"{" * 3_000 + b"}" * 3_000,
]  # fmt: skip
HEADERS = [
    {}, {"Content-Type": "text/plain"}, {"Content-Encoding": "gzip"}, {"Content-Encoding": "deflate"}, {"Content-Encoding": "x"},
    {"Content-Type": "multipart/form-data; boundary=x"}, {"Content-Type": "application/json; charset=utf-99"},
    {"Origin": "null"}, {"X-Forwarded-For": "../../"},
]  # fmt: skip


@pytest.fixture(scope="module")
def routes(comfy) -> list[tuple[str, str]]:
    """(method, path) of every route of the pack."""
    import server

    found = {
        (route.method, route.path)
        for route in server.PromptServer.instance.routes
        if getattr(route, "path", "").startswith("/hrv")
    }
    assert found
    return sorted(found)


def body_of(dice: random.Random) -> bytes:
    """A body with something wrong in it; now and then nearly right."""
    if dice.random() < 0.15:
        return dice.choice(RAW)
    fields = {name: dice.choice(VALUES) for name in dice.sample(FIELDS, dice.randint(0, len(FIELDS)))}
    if dice.random() < 0.6:
        fields = {
            "id": dice.choice(IDS),
            "words": [dice.choice([0, 1, 10**6, -1, 2**70])],
            "picture": dice.choice([0, 1, 2**40]),
        }
        fields |= {dice.choice(FIELDS[1:6]): dice.choice(VALUES)}
    return json.dumps(fields).encode()


def target_of(dice: random.Random, path: str) -> str:
    """The route's own address, mostly; or one beside it."""
    tricks = [
        "/../..%2fetc/passwd",
        "/%00",
        "//",
        "/..;/",
        "?id=../../x&id=1",
        "%2e%2e/",
        "/{id}",
    ]
    filled = path.replace("{", "").replace("}", "")
    return filled + (dice.choice(tricks) if dice.random() < 0.2 else "")


def files(server) -> dict[str, tuple[int, int]]:
    """Every file of the server and of the pack, but for its log and database."""
    from devtools.server import ROOT

    found = {}
    for folder in (server.base, ROOT / "hrv_data", ROOT / "js"):
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix not in (".log", ".db", ".pyc") and "database" not in path.name:
                status = path.stat()
                found[str(path)] = (status.st_size, status.st_mtime_ns)
    return found


def test_two_thousand_wrong_requests(server, routes):
    dice = random.Random(0)
    before, logged = files(server), len(server.log)
    connection = http.client.HTTPConnection(server.address, timeout=15)
    answers: dict[int, int] = {}
    for _ in range(REQUESTS):
        method, path = dice.choice(routes)
        if dice.random() < 0.1:
            method = dice.choice(["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
        target, body, headers = target_of(dice, path), body_of(dice), dice.choice(HEADERS)
        try:
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        # the server hung up: too large, or not HTTP any more; or aiohttp waits for more of a body that says it is compressed
        except (http.client.HTTPException, OSError):
            connection.close()
            continue
        answers[answer.status] = answers.get(answer.status, 0) + 1
        assert answer.status < 500, f"{method} {target[:80]} {body[:200]!r} {headers}: {text[:300]!r}"
        if answer.status == 200 and target == path and method == "POST":
            raise AssertionError(f"a wrong request was answered: {body[:200]!r}: {text[:200]!r}")
        if answer.status in (400, 404, 410) and text[:1] == b"{" and target == path:
            error = json.loads(text).get("error", "")
            assert not error or ("\n" not in error and "Traceback" not in error), error
    connection.close()
    assert sum(answers.values()) > REQUESTS * 0.75 and answers.get(400, 0) > REQUESTS / 10
    assert files(server) == before
    # (aiohttp itself logs bodies that it cannot unpack, before or behind our answer)
    for trouble in ("[HRV]", "Exception in", "never retrieved"):
        assert trouble not in server.log[logged:]
    assert server.get("/system_stats")
