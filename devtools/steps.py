"""Long commands with signs of life and plain words when they fail; the set-up lock."""

import contextlib
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

SIGN_OF_LIFE = 20  # seconds of silence after which a long step says that it is still at work
NOT_SHOWN = re.compile(r"\s*[+~-] \S+==|\s*WARNING: ")  # uv lists every package it installed

NO_NETWORK = re.compile(
    r"NewConnectionError|ConnectionError|ConnectTimeout|Name or service not known|name resolution|dns error"
    r"|error sending request|[Cc]onnection refused|tcp connect|[Nn]etwork is unreachable|network was disabled"
    r"|Failed to fetch|timed out|ProxyError|SSLError|certificate"
)
NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded|os error 28")


class Problem(Exception):
    """Something the reader of the message can put right; printed without a traceback."""


def say(text: str) -> None:
    print(text, flush=True)


def run_step(command: Sequence[str | Path], what: str) -> None:
    """Run a command to its end, passing on its output; raise `Problem` in plain words if it fails."""
    started = time.monotonic()
    tail: deque[str] = deque(maxlen=15)
    lines: queue.Queue[str | None] = queue.Queue()
    process = subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )

    def read() -> None:
        for line in process.stdout:
            lines.put(line.rstrip())
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    try:
        while True:
            try:
                line = lines.get(timeout=SIGN_OF_LIFE)
            except queue.Empty:
                say(f"    … still {what} ({time.monotonic() - started:.0f} s)")
                continue
            if line is None:
                break
            tail.append(line)
            if line and not NOT_SHOWN.match(line):
                say(f"    {line}")
        code = process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if code:
        raise Problem(explain(what, "\n".join(tail)))


def explain(what: str, output: str) -> str:
    """The end of a failed command's output, as a sentence that says what is missing."""
    if NO_SPACE.search(output):
        return f"The disk is full: {what} failed. Free some space (the first set-up needs about 7 GB) and run again."
    if NO_NETWORK.search(output):
        return f"No network: {what} needs the package index and could not reach it. Check the connection and run again."
    return f"{what.capitalize()} failed. The last lines it printed:\n{output}"


def runs(command: Sequence[str | Path]) -> bool:
    """True if the command starts and ends without an error."""
    try:
        parts = [str(part) for part in command]
        done = subprocess.run(parts, capture_output=True, stdin=subprocess.DEVNULL, timeout=300)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold a lock file, so that two set-ups take turns; the system frees it if its owner dies."""
    with open(path, "a+") as file:
        if not _try_lock(file):
            say("Another dev.py is setting up this folder; waiting for it.")
            while not _try_lock(file):
                time.sleep(0.5)
        yield


if os.name == "nt":
    import msvcrt

    def _try_lock(file) -> bool:
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(file) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def child(
    command: Sequence[str | Path],
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    output: BinaryIO | None = None,
) -> int:
    """Run a command on this terminal, or with its output going into a file, and return its exit code; it never outlives this
    process's own end."""
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
    )
    try:
        return process.wait()
    except KeyboardInterrupt:  # the terminal sent it to the child as well, which is cleaning up
        with contextlib.suppress(KeyboardInterrupt):
            return process.wait()
        return 130
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


def stop_on_terminate(signum: int, frame: object) -> None:
    """Signal handler: turn a polite kill into an ordinary exit, so that `finally` stops the children."""
    sys.exit(143)
