"""Finding files below a folder: what a plain walk finds, without walking, and without keeping anybody waiting."""

import os
import random
import shutil
import threading
import time
from pathlib import Path

import pytest

from hrv_pack.host.store import file_listing
from hrv_pack.host.store.file_listing import Listing


def plain_walk(folder: Path) -> set:
    return {
        (path.relative_to(folder).as_posix(), path.stat().st_mtime_ns, path.stat().st_size)
        for path in folder.rglob("*.safetensors")
        if path.is_file()
    }


def listed(listing: Listing, folder: Path) -> set:
    return {(file.name, file.time, file.size) for file in listing.files(folder)}


def settle(folder: Path) -> None:
    """As if everything had been written long ago."""
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (1e9, 1e9))


@pytest.fixture
def folder(tmp_path) -> Path:
    for place in ("", "attention", "attention/deep", "pictures"):
        (tmp_path / place).mkdir(exist_ok=True)
        for number in range(3):
            (tmp_path / place / f"{number}.safetensors").write_bytes(b"x" * number)
            (tmp_path / place / f"{number}.png").write_bytes(b"")
    return tmp_path


def test_it_finds_what_a_walk_finds_whatever_happens_to_the_files(folder):
    listing, generator = Listing(".safetensors"), random.Random(0)
    for step in range(150):
        places = [path for path in folder.rglob("*") if path.is_dir()]
        place = generator.choice([folder, *places])
        files = list(place.glob("*.safetensors"))
        what = generator.randrange(5)
        if what == 0:
            (place / f"new{step}.safetensors").write_bytes(b"new")
        elif what == 1 and files:
            files[0].unlink()
        elif what == 2 and files:
            files[0].write_bytes(b"changed" * generator.randrange(9))  # in place: the folder does not notice
        elif what == 3:
            (place / f"folder{step}").mkdir()
        elif what == 4 and place != folder and generator.random() < 0.5:
            place.rename(folder / f"moved{step}")
        elif what == 4 and place != folder:
            shutil.rmtree(place)
        assert listed(listing, folder) == plain_walk(folder), step


def test_a_folder_that_did_not_change_is_not_read_again(folder, monkeypatch):
    read, real = [], os.scandir

    def noting(path):
        if isinstance(path, str):  # pathlib, which the plain walk uses, gives paths of its own
            read.append(path)
        return real(path)

    monkeypatch.setattr(file_listing.os, "scandir", noting)
    listing = Listing(".safetensors")
    settle(folder)
    for _ in range(4):  # as for two refreshes of the page
        assert listed(listing, folder) == plain_walk(folder)
    assert len(read) == 4, "each of the four folders once"
    (folder / "attention" / "new.safetensors").write_bytes(b"")
    assert listed(listing, folder) == plain_walk(folder)
    assert read[4:] == [str(folder / "attention")]


def test_a_slow_drive_keeps_nobody_waiting(folder, monkeypatch):
    """The first who asks waits for a moment, the others do not at all; what was found then comes."""
    go_on, real = threading.Event(), os.scandir
    listing = Listing(".safetensors")
    before = listed(listing, folder)
    (folder / "new.safetensors").write_bytes(b"")

    def slow(path):
        assert go_on.wait(60)
        return real(path)

    monkeypatch.setattr(file_listing.os, "scandir", slow)
    monkeypatch.setattr(file_listing, "PATIENCE", 0.2)
    started = time.monotonic()
    assert listed(listing, folder) == before
    first = time.monotonic() - started
    assert 0.2 <= first
    started = time.monotonic()
    for _ in range(20):
        assert listed(listing, folder) == before
    assert time.monotonic() - started < first, "twenty more take less than the first"
    go_on.set()
    monkeypatch.setattr(file_listing, "PATIENCE", 30)
    deadline = time.monotonic() + 30
    while listed(listing, folder) == before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert listed(listing, folder) == plain_walk(folder)


def test_a_folder_that_is_not_there(tmp_path):
    assert Listing(".safetensors").files(tmp_path / "gone") == []


def test_links_in_a_ring_end(folder):
    try:
        (folder / "attention" / "back").symlink_to(folder, target_is_directory=True)
    except OSError:
        pytest.skip("links are not allowed here")
    assert len(listed(Listing(".safetensors"), folder)) == 12
