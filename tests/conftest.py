"""What all tests share: marks by folder, and the pack's modules under the name `hrv_pack`.

ComfyUI imports a pack by its path, under its folder's name. Tests do the same: `from hrv_pack.hrv.prompt import …`
works in tests/unit without ComfyUI and in tests/host with it, and is one and the same module in both. (The
pack's folder must not come first on sys.path: its `nodes` would hide ComfyUI's.)
"""

import importlib.machinery
import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACK = "hrv_pack"


def register_pack() -> None:
    """Make `hrv_pack.*` importable, without running the pack's own __init__.py (which needs ComfyUI)."""
    spec = importlib.machinery.ModuleSpec(PACK, loader=None, is_package=True)
    spec.submodule_search_locations = [str(ROOT)]
    sys.modules[PACK] = importlib.util.module_from_spec(spec)


def find_devtools() -> None:
    """Put the repository last on sys.path, for `devtools`, whoever started pytest and from where."""
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT] + [str(ROOT)]


register_pack()
find_devtools()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks by folder; the browser's tests last, because their event loop stays in this thread."""
    items.sort(key=lambda item: "browser" in item.path.relative_to(ROOT / "tests").parts[:1])
    for item in items:
        folder = item.path.relative_to(ROOT / "tests").parts[0]
        if folder in ("unit", "host", "browser"):
            item.add_marker(folder)
