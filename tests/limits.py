"""What the system can limit or tell of this process: a disk that is full, and how much memory it took. Not on Windows."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import pytest

try:
    import resource
except ImportError:  # Windows
    resource = None


@contextlib.contextmanager
def full_disk(after: int = 4096) -> Iterator[None]:
    """Files grow to this many bytes and no further: writing more fails in the system, as on a full disk."""
    if resource is None:
        pytest.skip("Windows cannot limit the size of files")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def peak_memory() -> int:
    """kB that this process took at most so far; 0 where the system does not say."""
    if resource is None:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak
