"""Fixtures for tests with a real ComfyUI: `comfy` inside this process, `server` over HTTP.

Where ComfyUI is, `dev.py test` says by HRV_COMFYUI; without it the default host is used, if it has been made.
Tests in this folder may import ComfyUI's modules (`import comfy.sd`) at their top; nodes need the fixture.
"""

import asyncio
import atexit
import importlib.machinery
import importlib.util
import inspect
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import torch

import hrv_pack
from devtools.releases import DEFAULT
from devtools.server import ROOT, ComfyServer

COMFYUI = Path(os.environ.get("HRV_COMFYUI") or ROOT / ".host" / f"comfyui-{DEFAULT}")
ON_GPU = os.environ.get("HRV_DEVICE") == "gpu"  # tools/gpu_check.py asks for it
if not COMFYUI.is_dir():
    raise pytest.UsageError("tests/host needs a ComfyUI: run the tests with `python3 dev.py test`")


def find_comfyui() -> None:
    """Make ComfyUI importable, set to the CPU (or a graphics card) and to folders of its own, as main.py's options would."""
    base = Path(tempfile.mkdtemp(prefix="comfyui-"))
    atexit.register(shutil.rmtree, base, ignore_errors=True)
    for name in ("models", "input", "output", "temp", "user", "custom_nodes"):
        (base / name).mkdir()
    sys.path.insert(0, str(COMFYUI))
    device = [] if ON_GPU else ["--cpu"]
    if (
        importlib.util.find_spec("comfyui_frontend_package") is None
    ):  # a machine without a page, as tools/gpu_check.py has it
        device += ["--front-end-root", str(base)]
    arguments, sys.argv = sys.argv, ["main.py", *device, "--disable-api-nodes", "--base-directory", str(base)]
    try:
        import comfy.options

        comfy.options.enable_args_parsing()
        import comfy.cli_args  # reads sys.argv once, when it is imported
        import utils.extra_config  # noqa: F401  before `nodes`, which up to 0.24 puts another `utils` first on sys.path
    finally:
        sys.argv = arguments


find_comfyui()


@dataclass(frozen=True)
class Comfy:
    """ComfyUI in this process, on the CPU, with the pack loaded.

    nodes: ComfyUI's own module `nodes`, NODE_CLASS_MAPPINGS filled with its nodes and the pack's.
    folder_paths: ComfyUI's module; all its folders are temporary.
    pack: the pack, as a package.
    ids: the pack's node ids.
    """

    nodes: ModuleType
    folder_paths: ModuleType
    pack: ModuleType
    ids: tuple[str, ...]

    def node_class(self, node_id: str) -> type:
        return self.nodes.NODE_CLASS_MAPPINGS[node_id]

    def run_node(self, node_id: str, **inputs: object) -> tuple:
        """Execute one node as ComfyUI would, inputs not given taking their defaults; return its outputs."""
        return self.run_node_ui(node_id, **inputs)[0]

    def run_node_ui(self, node_id: str, **inputs: object) -> tuple[tuple, dict]:
        """The same, with what the node shows (`ui`) as the second value."""
        node = self.node_class(node_id)
        inputs = defaults(node) | inputs
        if hasattr(node, "GET_SCHEMA"):
            node.VALIDATE_CLASS()
            function = getattr(node.PREPARE_CLASS_CLONE(None), node.FUNCTION)
        else:
            function = getattr(node(), node.FUNCTION)
        with torch.inference_mode():
            output = function(**inputs)
            if inspect.isawaitable(output):
                output = asyncio.run(output)
        if isinstance(output, dict):
            return tuple(output.get("result", ())), output.get("ui", {})
        if hasattr(output, "result"):
            ui = output.ui or {}
            return tuple(output.result or ()), ui if isinstance(ui, dict) else ui.as_dict()
        return tuple(output or ()), {}


def defaults(node: type) -> dict:
    """The default of every widget a node has; for a combo without one, its first choice."""
    values = {}
    for group in ("required", "optional"):
        for name, spec in node.INPUT_TYPES().get(group, {}).items():
            options = spec[1] if len(spec) > 1 else {}
            choices = spec[0] if isinstance(spec[0], list) else options.get("options")
            if "default" in options:
                values[name] = options["default"]
            elif choices and group == "required":
                values[name] = choices[0]
    return values


@pytest.fixture
def plain_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recording as on the CPU, on a graphics card too."""
    from hrv_pack.hrv.recording import kernel

    monkeypatch.setattr(kernel, "_works", False)


@pytest.fixture(scope="session")
def comfyui_folder() -> Path:
    """The folder of the ComfyUI under test."""
    return COMFYUI


@pytest.fixture(scope="session")
def comfy() -> Comfy:
    """ComfyUI in this process with all its nodes, and the pack loaded by its entry point."""
    import folder_paths
    import nodes
    import server

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    server.PromptServer(loop)
    loop.run_until_complete(nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))
    importlib.machinery.SourceFileLoader("hrv_pack", str(ROOT / "__init__.py")).exec_module(hrv_pack)
    extension = loop.run_until_complete(hrv_pack.comfy_entrypoint())
    loop.run_until_complete(extension.on_load())
    classes = {node.GET_SCHEMA().node_id: node for node in loop.run_until_complete(extension.get_node_list())}
    nodes.NODE_CLASS_MAPPINGS.update(classes)
    return Comfy(nodes, folder_paths, hrv_pack, tuple(classes))


@pytest.fixture(scope="session")
def rig(comfy) -> ModuleType:
    """rig.py, which needs ComfyUI's nodes."""
    import rig

    return rig


@pytest.fixture(params=["sd1", "sdxl"])
def kind(request) -> str:
    """The shape of a small model."""
    return request.param


@pytest.fixture
def studio():
    """A small model with a recording clone, as rig.studio makes it."""
    import rig

    return rig.studio()


@pytest.fixture(scope="session")
def server() -> Iterator[ComfyServer]:
    """A real server with the pack, shared by all tests of a run: leave it as you found it."""
    if ON_GPU and importlib.util.find_spec("comfyui_frontend_package") is None:
        pytest.skip("this ComfyUI has no page")
    with ComfyServer(COMFYUI) as running:
        yield running
