"""Checks the pack on a graphics card that has no network: right, unnoticed, and a longer training of the demo transformer.

    python3 tools/gpu_check.py bundle                 here: one folder with all that a bare machine lacks (.host/gpu_check)
    python3 tools/gpu_check.py run --minutes 8        there: from the folder's pack, or from a checkout with --bundle FOLDER

The machine needs Python 3.12 on x86-64 Linux with PyTorch, transformers, safetensors, OpenCV, pytest and what they need. Everything is
printed as it goes, so that a run that is cut off has said what it found. `--device cpu` is the dry run.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".host" / "gpu_check"
PYTHON = "3.12"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux1_x86_64")
COMPILED = (
    "comfy-aimdo", "torchsde", "trampoline", "av", "alembic", "SQLAlchemy", "Mako", "simpleeval", "blake3", "pydantic", "pydantic-settings",
    "pydantic-core", "annotated-types", "typing-inspection", "python-dotenv",
)  # fmt: skip
PURE = ("comfy-kitchen",)
"""Of these the wheel without compiled kernels is taken, which is far smaller and gives the same values."""
NOT_NEEDED = (".png", ".webp", ".gif", ".jpg")
TESTS = (
    "test_probabilities.py", "test_latents.py", "test_token_recording.py", "test_ways_attention.py", "test_steering_nodes.py",
    "test_word_effects.py", "test_options.py", "test_failures.py", "test_on_gpu.py",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("bundle", help="put together what the machine lacks")
    make.add_argument("--into", type=Path, default=FOLDER)
    run = commands.add_parser("run", help="check")
    run.add_argument("--bundle", type=Path, default=ROOT.parent, help="the folder that `bundle` made")
    run.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    run.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    run.add_argument("--minutes", type=float, default=3, help="how long the transformer trains")
    run.add_argument("--results", type=Path, default=Path("gpu_results"), help="where files go")
    run.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) // 2))
    arguments = parser.parse_args()
    if arguments.command == "bundle":
        return bundle(arguments.into)
    arguments.results.mkdir(parents=True, exist_ok=True)
    environment = unpacked(arguments.bundle) | {"HRV_DEVICE": arguments.device}
    codes = {}
    for part in arguments.parts:
        started = time.time()
        codes[part] = PARTS[part](arguments, environment)
        print(f"== {part}: code {codes[part]}, {time.time() - started:.0f} s", flush=True)
    return max(codes.values())


# -- bundle -------------------------------------------------------------------------------------------------------


def bundle(into: Path) -> int:
    sys.path.append(str(ROOT))
    from devtools import setup
    from devtools.releases import DEFAULT, RELEASES

    into.mkdir(parents=True, exist_ok=True)
    comfyui = setup.ensure_sources(RELEASES[DEFAULT])
    unwanted = ("tests", "tests-unit", "blueprints", "__pycache__", ".git")
    files = [path for path in comfyui.rglob("*") if not set(path.relative_to(comfyui).parts) & set(unwanted)]
    pack(into / "comfyui.tar.xz", comfyui, files)
    with tempfile.TemporaryDirectory() as folder:
        packages = Path(folder)
        requirements = (comfyui / "requirements.txt").read_text(encoding="utf-8")
        install(packages, wanted(COMPILED, requirements), "cp", PLATFORMS)
        install(packages, wanted(PURE, requirements), "py", ("any",))
        pack(into / "packages.tar.xz", packages, packages.rglob("*"))
    names = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    pack(
        into / "pack.tar.xz",
        ROOT,
        [ROOT / name for name in names if not name.endswith(NOT_NEEDED) and (ROOT / name).exists()],
    )
    size = sum(path.stat().st_size for path in into.glob("*.tar.xz"))
    print(
        f"{into}: {size / 1e6:.1f} MB. There: mkdir pack && tar xf pack.tar.xz -C pack && python3 pack/tools/gpu_check.py run"
    )
    return 0


def wanted(names: Iterable[str], requirements: str) -> list[str]:
    """Names with the versions that ComfyUI pins."""
    pinned = {line.partition("==")[0].lower(): line for line in requirements.split() if "==" in line}
    return [pinned.get(name.lower(), name) for name in names]


def install(into: Path, packages: list[str], implementation: str, platforms: Iterable[str]) -> None:
    options = [
        "--no-deps",
        "--no-compile",
        "--only-binary=:all:",
        "--upgrade",
        "--quiet",
        f"--python-version={PYTHON}",
    ]
    options += [f"--implementation={implementation}", *(["--abi=none"] if implementation == "py" else [])]
    options += [f"--platform={name}" for name in platforms]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", str(into), *packages], check=True
    )


def pack(archive: Path, root: Path, files: Iterable[Path]) -> None:
    with tarfile.open(archive, "w:xz", preset=6) as tar:
        for path in sorted(files):
            if path.is_file() and "__pycache__" not in path.parts:
                tar.add(path, arcname=str(path.relative_to(root)))


# -- run ----------------------------------------------------------------------------------------------------------


def unpacked(folder: Path) -> dict[str, str]:
    """Unpacks ComfyUI and its packages beside each other, once; returns what to add to the environment."""
    place = Path(tempfile.gettempdir()) / "hrv_gpu_check"
    for name in ("comfyui", "packages"):
        if not (place / name).is_dir():
            with tarfile.open(folder / f"{name}.tar.xz") as tar:
                tar.extractall(place / name, filter="data")
    return {
        "HRV_COMFYUI": str(place / "comfyui"),
        "PYTHONPATH": str(place / "packages"),
        "PYTHONUNBUFFERED": "1",
    }


def right(arguments: argparse.Namespace, environment: dict[str, str]) -> int:
    """The essential tests with a real ComfyUI on the device."""
    tests = [
        str(ROOT / "tests" / "host" / name) for name in TESTS if (ROOT / "tests" / "host" / name).exists()
    ]
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "--tb=short",
        "-n",
        str(arguments.workers),
        "--dist",
        "loadscope",
        "-r",
        "fE",
    ]
    one_thread = environment | {"OMP_NUM_THREADS": "1"}
    return _python(one_thread, "-m", "pytest", *options, *tests, cwd=ROOT)


def unnoticed(arguments: argparse.Namespace, environment: dict[str, str]) -> int:
    """What recording costs at full size."""
    options = ["--json", str(arguments.results.resolve() / "gpu.json")]
    options += ["--device", "cpu", "--quick"] if arguments.device == "cpu" else []
    return _python(environment, str(ROOT / "benchmarks" / "gpu.py"), *options)


def train(arguments: argparse.Namespace, environment: dict[str, str]) -> int:
    """The demo transformer's training goes on; its state and the file come back."""
    work = arguments.results.resolve() / "train_demo"
    work.mkdir(parents=True, exist_ok=True)
    script = [
        str(ROOT / "tools" / "train_demo" / "train.py"),
        "--work",
        str(work),
        "--workers",
        str(arguments.workers),
    ]
    cpu = environment | {"CUDA_VISIBLE_DEVICES": ""}  # scenes are drawn on the CPU
    return _python(cpu, *script, "--stages", "latents", "--latents", "40000") or _python(
        environment, *script, "--stages", "dit", "--dit-batch", "64", "--dit-minutes", str(arguments.minutes)
    )  # fmt: skip


PARTS = {"right": right, "unnoticed": unnoticed, "train": train}


def _python(environment: dict[str, str], *arguments: str, cwd: Path | None = None) -> int:
    print("==", *arguments[:3], flush=True)
    return subprocess.run([sys.executable, *arguments], env={**os.environ, **environment}, cwd=cwd).returncode


if __name__ == "__main__":
    sys.exit(main())
