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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--heavy", action="store_true", help="also run what takes many minutes (mark `heavy`)")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """With `--dist loadfile`: a file is one process's work, and in tests/browser what is shown in one of ComfyUI's pages, so
    that no two processes start the same server and page."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if not nodeid.startswith("tests/browser/"):
                return super()._split_scope(nodeid)
            return f"tests/browser {'newest' if '[newest-' in nodeid else 'pinned'}"

    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks by folder; the browser's tests last, because their event loop stays in this thread."""
    if not config.getoption("--heavy"):
        heavy = [item for item in items if item.get_closest_marker("heavy")]
        config.hook.pytest_deselected(items=heavy)
        items[:] = [item for item in items if item not in heavy]
    items.sort(key=lambda item: "browser" in item.path.relative_to(ROOT / "tests").parts[:1])
    for item in items:
        folder = item.path.relative_to(ROOT / "tests").parts[0]
        if folder in ("unit", "host", "browser"):
            item.add_marker(folder)
        for way in item.iter_markers("way"):  # into the report that tools/make_compatibility.py reads
            item.user_properties.append(("way", way.args[0]))
            item.user_properties.append(("maps", way.kwargs.get("maps", "right")))
