"""Puts files in their place: never half of one, never over another program's, on Windows too.

    write(path, parts)              the old bytes or all of the new ones
    write(path, parts, new=True)    FileExistsError where the name is taken
    with held(path): …              one program at a time reads, changes and writes a file

On Windows a file that another program has open, if only for a moment (a virus scanner, an indexer, a reader), can be neither
replaced nor removed. What is refused is tried again for some seconds.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

PAUSES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)  # seconds between attempts
LONGEST_ON_WINDOWS = 260  # letters of a path, unless the user has switched long paths on
MAPPED = 1224  # Windows: a part of the file is mapped into memory
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


class FileInUse(PermissionError):
    """A file that could not be replaced, however often it was tried."""

    def __init__(self, path: Path):
        super().__init__(errno.EACCES, "another program has it open, or it is write-protected", str(path))


def write(path: Path | str, parts: Iterable[bytes | memoryview], new: bool = False) -> None:
    """Writes a file in one step: other programs see the old bytes or all of the new ones, never a part.

    new: raises FileExistsError where there is a file of this name already. When it raises (OSError for a full disk, FileInUse),
    what was there before is as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # short, so that it is not too long where the file's own name is not
    temporary = path.with_name(f".{secrets.token_hex(6)}.part")
    try:
        with open(temporary, "xb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        if new:
            _patiently(lambda: _place_new(temporary, path), path)
        else:
            _patiently(lambda: os.replace(temporary, path), path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def reason(error: OSError, path: Path | str) -> str:
    """Why a file could not be written, in a few words that can stand behind a colon."""
    too_long = sys.platform == "win32" and len(str(path)) >= LONGEST_ON_WINDOWS
    if too_long or error.errno == errno.ENAMETOOLONG:
        return "its name, with all its folders, is longer than this computer allows"
    return error.strerror or str(error)


@contextlib.contextmanager
def held(path: Path | str, patience: float = 5.0) -> Iterator[None]:
    """Holds a file's lock, which all programs that use this function share. The system frees it if its owner dies.

    Raises FileInUse when another program holds it for `patience` seconds. Where the file system knows no locks (some network
    drives), nobody is kept waiting.
    """
    lock = Path(path).with_name(f"{Path(path).name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience
    while (file := _locked(lock)) is None:
        if time.monotonic() > deadline:
            raise FileInUse(Path(path))
        time.sleep(0.05)
    try:
        yield
    finally:
        _release(file, lock)


def _patiently(place: Callable[[], None], path: Path) -> None:
    for pause in PAUSES:
        try:
            return place()
        except OSError as error:
            if not _is_refused(error):
                raise
            time.sleep(pause)
    try:
        place()
    except OSError as error:
        if not _is_refused(error):
            raise
        raise FileInUse(path) from None


def _is_refused(error: OSError) -> bool:
    return isinstance(error, PermissionError) or getattr(error, "winerror", None) == MAPPED


def _place_new(temporary: Path, path: Path) -> None:
    if sys.platform == "win32":
        os.rename(temporary, path)  # refuses a name that is taken
        return
    with open(path, "xb"):  # takes the name, which renaming would not ask about
        pass
    try:
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise


def _locked(lock: Path) -> BinaryIO | None:
    """The lock's file, locked; None while another program has it."""
    try:
        file = open(lock, "a+b")
    except PermissionError:  # on Windows also a file that another program is just removing
        return None
    try:
        if sys.platform == "win32":
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file.fileno()), os.stat(lock)):
            return file
        file.close()  # its owner removed it while we waited: the name is gone, or another file's
    except (PermissionError, BlockingIOError, FileNotFoundError):
        file.close()
    except OSError as error:
        if error.errno in NO_LOCKS:
            return file
        file.close()
        raise
    return None


def _release(file: BinaryIO, lock: Path) -> None:
    """Lets go, and leaves no file behind."""
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            file.close()  # an open file cannot be removed, nor one that another program waits for
            os.unlink(lock)
        else:
            os.unlink(lock)  # before it is free: who waits for it then sees that it is gone
    file.close()
