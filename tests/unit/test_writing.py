"""Putting files in their place: refused replaces, names that are taken, locks between programs, names that Windows forbids."""

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hrv_pack.hrv.files import writing
from hrv_pack.hrv.files.file_names import fault_of
from hrv_pack.hrv.files.writing import FileInUse, held, reason, write

PAUSES = writing.PAUSES
REFUSED = PermissionError(errno.EACCES, "Access is denied")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(writing, "PAUSES", (0.0,) * 7)


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "a.safetensors"
    write(path, [b"be", b"fore"])
    return path


def refusing(monkeypatch, times: int, name: str = "replace") -> list:
    """os.replace as Windows has it while a program reads the file."""
    real, calls = getattr(os, name), []

    def replace(source, target):
        calls.append(target)
        if len(calls) <= times:
            raise REFUSED
        return real(source, target)

    monkeypatch.setattr(writing.os, name, replace)
    return calls


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize("times", [1, 7])
def test_a_replace_that_is_refused_while_a_reader_holds_the_file_is_tried_again(path, monkeypatch, times):
    calls = refusing(monkeypatch, times)
    write(path, [b"after"])
    assert path.read_bytes() == b"after" and len(calls) == times + 1 and names(path.parent) == [path.name]


def test_a_replace_that_stays_refused_says_why_and_loses_nothing(path, monkeypatch):
    calls = refusing(monkeypatch, 99)
    with pytest.raises(FileInUse) as error:
        write(path, [b"after"])
    assert reason(error.value, path) == "another program has it open, or it is write-protected"
    assert path.read_bytes() == b"before" and len(calls) == 8 and names(path.parent) == [path.name]


def test_a_file_that_is_mapped_into_memory_counts_as_refused(path, monkeypatch):
    """Windows then gives a number of its own, which Python calls no PermissionError."""
    error = OSError(
        errno.EINVAL, "The requested operation cannot be performed on a file with a user-mapped section open"
    )
    error.winerror = 1224
    monkeypatch.setitem(globals(), "REFUSED", error)
    refusing(monkeypatch, 3)
    write(path, [b"after"])
    assert path.read_bytes() == b"after"


def test_other_errors_are_not_tried_again(path, monkeypatch):
    monkeypatch.setitem(globals(), "REFUSED", OSError(errno.EIO, "Input/output error"))
    calls = refusing(monkeypatch, 1)
    with pytest.raises(OSError, match="Input/output error"):
        write(path, [b"after"])
    assert len(calls) == 1 and path.read_bytes() == b"before" and names(path.parent) == [path.name]


def test_it_waits_three_seconds_in_all():
    assert 3 <= sum(PAUSES) <= 4


def test_a_new_file_never_takes_the_place_of_another(path, monkeypatch):
    with pytest.raises(FileExistsError):
        write(path, [b"after"], new=True)
    assert path.read_bytes() == b"before" and names(path.parent) == [path.name]
    other = path.with_name("b.safetensors")
    write(other, [b"new"], new=True)
    assert other.read_bytes() == b"new" and names(path.parent) == [path.name, other.name]
    refusing(monkeypatch, 99)
    third = path.with_name("c.safetensors")
    with pytest.raises((FileInUse, FileExistsError)):
        write(third, [b"new"], new=True)
    assert names(path.parent) == [path.name, other.name], "the name that was taken is free again"


def test_many_at_once_get_names_of_their_own(tmp_path):
    taken = []

    def save(content: bytes) -> None:
        for number in range(100):
            try:
                write(tmp_path / f"{number}.bin", [content], new=True)
            except FileExistsError:
                continue
            return taken.append(number)

    threads = [threading.Thread(target=save, args=[bytes([n])]) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(20))
    assert sorted(file.read_bytes() for file in tmp_path.iterdir()) == [bytes([n]) for n in range(20)]


@pytest.mark.skipif(
    sys.platform == "win32", reason="other systems allow 255 bytes of a name, Windows 260 of a path"
)
def test_the_longest_name_can_be_written(tmp_path):
    """What is written on the way has a short name of its own."""
    path = tmp_path / ("a" * 243 + ".safetensors")
    write(path, [b"x"])
    assert path.read_bytes() == b"x"
    with pytest.raises(OSError) as error:
        write(tmp_path / ("a" * 300), [b"x"])
    assert "longer than this computer allows" in reason(error.value, tmp_path / "a")
    assert names(tmp_path) == [path.name]


# -- locks ------------------------------------------------------------------------------------------------------------

COUNT = """
import importlib.util, sys, time
from pathlib import Path
spec = importlib.util.spec_from_file_location("writing", sys.argv[1])
writing = importlib.util.module_from_spec(spec)
spec.loader.exec_module(writing)
path = Path(sys.argv[2])
for _ in range(40):
    with writing.held(path, patience=60):
        number = int(path.read_text())
        writing.write(path, [str(number + 1).encode()])
"""


def test_programs_that_share_a_file_lose_nothing(tmp_path):
    """Each reads a number, adds one and writes it. Without the lock they overwrite each other's."""
    path = tmp_path / "number"
    path.write_text("0")
    command = [sys.executable, "-c", COUNT, str(Path(writing.__file__)), str(path)]
    programs = [subprocess.Popen(command) for _ in range(3)]
    assert [program.wait(120) for program in programs] == [0, 0, 0]
    assert path.read_text() == "120"
    assert names(tmp_path) == ["number"], "no lock is left behind"


HOLD = (
    COUNT[: COUNT.index("for _")]
    + "with writing.held(path):\n    print('held', flush=True)\n    time.sleep(60)\n"
)


def test_who_waits_too_long_is_told_and_a_dead_owner_frees_the_lock(tmp_path):
    path = tmp_path / "a"
    command = [sys.executable, "-c", HOLD, str(Path(writing.__file__)), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout.readline() == "held\n"
        started = time.monotonic()
        with pytest.raises(FileInUse), held(path, patience=0.2):
            pass
        assert time.monotonic() - started < 5
        owner.kill()
        owner.wait()
        with held(path, patience=5):
            pass
    assert names(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="flock")
def test_a_file_system_without_locks_keeps_nobody_waiting(tmp_path, monkeypatch):
    def unsupported(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(writing.fcntl, "flock", unsupported)
    with held(tmp_path / "a"):
        pass
    assert names(tmp_path) == []


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "fault"),
    [
        ("red: cat", "does not allow ':' in names"), ("a/what?", "does not allow '?' in names"), ("a|b", "does not allow '|'"), ("a\tb", r"does not allow '\t'"),
        ("con", "'con' is the name of a device"), ("a/AUX/b", "'AUX' is the name"), ("nul.old", "'nul.old' is the name"),
        ("COM1", "'COM1' is the name"), ("a./b", "cannot end in a space or a dot, as 'a.' does"), ("a /b", "cannot end in"),
    ],
)  # fmt: skip
def test_names_that_windows_forbids_or_takes_for_something_else(prefix, fault):
    assert fault in fault_of(prefix, windows=True)
    assert fault_of(prefix, windows=False) is None


@pytest.mark.parametrize(
    "prefix", ["attention/ComfyUI", "a\\b", "../x", "console", "com10", "ein Bär", "a.b", "%year%"]
)
def test_names_that_windows_takes(prefix):
    assert fault_of(prefix, windows=True) is None
    assert "zero" in fault_of(prefix + "\0", windows=False)
