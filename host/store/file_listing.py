"""Which files of one ending lie below a folder, without walking it each time.

    listing = Listing(".safetensors")
    listing.files(folder)           → [Found(name, path, time, size), …]

ComfyUI asks a node for its choices twice at each refresh of the page, on the thread that answers every browser, and an output
folder may hold 100 000 images on a slow drive. So a folder is read again only when it says that something was added or taken
away, as ComfyUI itself does with models; and what takes long goes on beside, while the last answer stands.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import NamedTuple

PATIENCE = 0.5  # seconds that the first who asks waits for an answer that is new
SETTLED = (
    3 * 10**9
)  # nanoseconds after which a change gives a folder another time: FAT counts in steps of 2 s


class Found(NamedTuple):
    """A file: its name inside the folder with "/", its path, when it was changed in ns, and its bytes."""

    name: str
    path: str
    time: int
    size: int


class _Seen(NamedTuple):
    """What a folder held when it was last changed at `time` (ns); is_settled: whether that was long enough ago."""

    time: int
    is_settled: bool
    folders: tuple[str, ...]
    files: tuple[str, ...]


class _Scan(threading.Thread):
    """One look at everything below a folder."""

    def __init__(self, listing: Listing, folder: str):
        super().__init__(name="hrv-listing", daemon=True)
        self._listing, self._folder, self.was_waited_for = listing, folder, False

    def run(self) -> None:
        self._listing.look(self._folder)


class Listing:
    """Files of one ending. Links to folders are not followed."""

    def __init__(self, ending: str):
        self.ending = ending
        self._seen: dict[str, _Seen] = {}  # by path of a folder
        self._found: dict[str, list[Found]] = {}  # by path of what was asked for
        self._scans: dict[str, _Scan] = {}
        self._lock = threading.Lock()

    def files(self, folder: Path) -> list[Found]:
        """All files below a folder: as they are now, or, where that takes longer than PATIENCE, as they last were."""
        key = str(folder)
        with self._lock:
            scan = self._scans.get(key)
            if scan is None or not scan.is_alive():
                scan = self._scans[key] = _Scan(self, key)
                scan.start()
            waits, scan.was_waited_for = not scan.was_waited_for, True
        if waits:
            scan.join(PATIENCE)
        return self._found.get(key, [])

    def look(self, top: str) -> None:
        """Looks at everything below a folder, and keeps what there is for `files`."""
        found, visited, waiting = [], set(), [top]
        while waiting:
            folder = waiting.pop()
            try:
                status = os.stat(folder)
                if (status.st_dev, status.st_ino) in visited:  # a ring of junctions on Windows
                    continue
                seen = self._seen.get(folder)
                if seen is None or not seen.is_settled or seen.time != status.st_mtime_ns:
                    seen = self._seen[folder] = self._read(folder, status.st_mtime_ns)
            except OSError:  # removed meanwhile, or not ours to read
                self._seen.pop(folder, None)
                continue
            if status.st_ino:
                visited.add((status.st_dev, status.st_ino))
            waiting += (os.path.join(folder, name) for name in seen.folders)
            for name in seen.files:
                path = os.path.join(folder, name)
                try:
                    status = os.stat(path)
                except OSError:
                    continue
                inside = Path(path).relative_to(top).as_posix()
                found.append(Found(inside, path, status.st_mtime_ns, status.st_size))
        self._found[top] = found

    def _read(self, folder: str, changed: int) -> _Seen:
        is_settled = time.time_ns() - changed > SETTLED
        folders, files = [], []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                elif entry.name.endswith(self.ending):
                    files.append(entry.name)
        return _Seen(changed, is_settled, tuple(folders), tuple(files))


def stamp_of(path: Path | None) -> str:
    """Changes when the file is replaced by another. None: there is no such file."""
    try:
        status = path.stat() if path else None
    except OSError:  # just removed
        status = None
    return f"{path} {status.st_mtime_ns} {status.st_size}" if status else "not there"
