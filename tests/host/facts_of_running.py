"""Checks of what the pack knows of ComfyUI around a sampling: the node that runs, the server, folders, its sampler, its node API."""

from __future__ import annotations

import inspect
import os
import time

import comfy.model_management as management
import comfy.utils as utils
import comfyui_version
import models
import pytest
import rig
import token_rig
import torch
from comfy_api.latest import ComfyExtension, io, ui
from comfy_execution.utils import CurrentNodeContext
from fact_checks import fact
from server import PromptServer

from hrv_pack.host.facts import cancel, drawing, paths, running, server

# -- the node that runs -----------------------------------------------------------------------------------------


@fact("running.node_id")
def node_id(comfy):
    with CurrentNodeContext("prompt", "7"):
        assert running.node_id() == "7"
    assert running.node_id() is None


@fact("running.prompt_id")
def prompt_id(comfy):
    with CurrentNodeContext("prompt", "7"):
        assert running.prompt_id() == "prompt"
    assert running.prompt_id() is None


def cancelled():
    management.interrupt_current_processing(True)
    try:
        running.stop_if_cancelled()
    finally:
        management.interrupt_current_processing(False)


@fact("running.stop_if_cancelled")
def stop_if_cancelled(comfy):
    with pytest.raises(BaseException, match="^$"):
        cancelled()
    running.stop_if_cancelled()


@fact("cancel.CANCELS")
def cancels(comfy):
    with pytest.raises(cancel.CANCELS):
        cancelled()


@fact("running.bar")
def bar(comfy):
    assert isinstance(running.bar(3), utils.ProgressBar)


@fact("running.move")
def move(comfy):
    told, hook = [], utils.PROGRESS_BAR_HOOK
    utils.set_progress_bar_global_hook(lambda *given, **named: told.append(given))
    try:
        with CurrentNodeContext("prompt", "7"):
            running.move(running.bar(3), 2, 3)
    finally:
        utils.set_progress_bar_global_hook(hook)
    assert told[0][:2] == (2, 3)


# -- the server -------------------------------------------------------------------------------------------------


def takes(method, *arguments) -> None:
    """Raises TypeError where a method cannot be called like this."""
    inspect.signature(method).bind(*arguments)


@fact("server.instance")
def instance(comfy):
    assert isinstance(server.instance(), PromptServer)


@fact("server.has_route")
def has_route(comfy):
    found = server.instance()
    assert server.has_route(found, "/view") and not server.has_route(found, "/hrv/none")


@fact("server.add_post")
def add_post(comfy):
    found = server.instance()
    server.add_post(found, "/hrv/facts", None)
    route = next(route for route in found.routes if route.path == "/hrv/facts")
    found.routes._items.remove(route)
    assert route.method == "POST"


@fact("server.send")
def send(comfy):
    found = server.instance()
    takes(found.send_sync, "event", {}, None)
    server.send(found, "hrv_facts", {})


@fact("server.show_line")
def show_line(comfy):
    found = server.instance()
    takes(found.send_progress_text, "text", "7")
    server.show_line(found, "text", "7")


# -- folders ----------------------------------------------------------------------------------------------------


@fact("paths.OUTPUT")
def output_mark(comfy):
    found = comfy.folder_paths.get_annotated_filepath(f"a.safetensors{paths.OUTPUT}")
    assert found == os.path.abspath(paths.output() / "a.safetensors")
    assert comfy.folder_paths.get_annotated_filepath("a") == os.path.abspath(paths.input() / "a")


@fact("paths.TEMP")
def temp_mark(comfy):
    assert comfy.folder_paths.get_directory_by_type(paths.TEMP) == str(paths.temp())


@fact("paths.LORAS")
def loras(comfy):
    import folder_paths

    assert folder_paths.get_folder_paths(paths.LORAS)


@fact("paths.register")
def register(comfy):
    """Folders of a kind of models can be added, and limited to an ending."""
    folders, endings = comfy.folder_paths.folder_names_and_paths[paths.KIND]
    assert str(paths.SHIPPED_VECTORS) in folders and endings == {".safetensors"}


@fact("paths.folders")
def folders(comfy):
    assert paths.SHIPPED_VECTORS in paths.folders()


@fact("paths.names")
def names(comfy):
    paths.own_folder().mkdir(parents=True, exist_ok=True)
    (paths.own_folder() / "facts").mkdir(exist_ok=True)
    file = paths.own_folder() / "facts" / "known.safetensors"
    file.write_bytes(b"")
    try:
        assert os.path.join("facts", "known.safetensors") in paths.names()
    finally:
        file.unlink()
        file.parent.rmdir()
        comfy.folder_paths.filename_list_cache.pop(paths.KIND, None)


@fact("paths.full_path")
def full_path(comfy):
    paths.own_folder().mkdir(parents=True, exist_ok=True)
    file = paths.own_folder() / "hrv_facts.npy"
    file.write_bytes(b"")
    try:
        assert paths.full_path(file.name) == str(file) and paths.full_path("none") is None
    finally:
        file.unlink()


@fact("paths.output")
def output(comfy):
    assert paths.output().is_dir()


@fact("paths.input")
def input_folder(comfy):
    assert paths.input().is_dir()


@fact("paths.temp")
def temp(comfy):
    assert paths.temp().name == "temp"


@fact("paths.embeddings")
def embeddings(comfy):
    assert any("embeddings" in folder for folder in paths.embeddings())


@fact("paths.free_name")
def free_name(comfy):
    prefix = f"hrv_facts_{time.monotonic_ns()}/%width%"
    found = paths.free_name(prefix, paths.output(), (64, 32))
    try:
        assert found.folder.parent == paths.output() and found.folder.name == found.subfolder
        assert (found.name, found.number) == ("64", 1)
        (found.folder / "64_00001_.safetensors").write_bytes(b"")
        assert paths.free_name(prefix, paths.output(), (64, 32)).number == 2
    finally:
        for file in found.folder.iterdir():
            file.unlink()
        found.folder.rmdir()


# -- the sampler ------------------------------------------------------------------------------------------------


@fact("drawing.VERSION")
def version(comfy):
    assert comfyui_version.__version__ == drawing.VERSION


@fact("drawing.samplers")
def samplers(comfy):
    assert "euler" in drawing.samplers()


@fact("drawing.schedulers")
def schedulers(comfy):
    assert "normal" in drawing.schedulers()


@fact("drawing.empty_latent")
def empty_latent(comfy):
    assert drawing.empty_latent(rig.tiny("sd1"), 64, 128).shape == (1, 4, 8, 16)
    for family, shape in (
        ("Flux", (1, 16, 8, 16)),
        ("Qwen-Image", (1, 16, 1, 8, 16)),
        ("Flux 2", (1, 128, 4, 8)),
    ):
        if family in token_rig.known():
            assert drawing.empty_latent(token_rig.tiny(family), 64, 128).shape == shape


@fact("drawing.previews")
def previews(comfy):
    drawing.previews(rig.tiny("sd1"))(torch.zeros(1, 4, 8, 8))


@fact("drawing.draw")
@torch.inference_mode()
def draw(comfy):
    told, both = [], [models.conditioning(seed=1), models.conditioning(seed=2)]
    out = drawing.draw(
        rig.tiny("sd1"), *both, torch.zeros(1, 4, 8, 8), 5, steps=1, cfg=7.0, sampler="euler", scheduler="normal",
        callback=lambda *given: told.append(given),
    )  # fmt: skip
    assert torch.equal(out, rig.sample(rig.tiny("sd1"), *both, rig.empty(1, 8, 8), seed=5, steps=1))
    assert [(given[0], given[3]) for given in told] == [(0, 1)]


# -- the node API -----------------------------------------------------------------------------------------------


@fact("api.ComfyExtension")
def comfy_extension(comfy):
    assert inspect.iscoroutinefunction(ComfyExtension.get_node_list)
    assert inspect.iscoroutinefunction(ComfyExtension.on_load)


@fact("api.Schema")
def schema(comfy):
    known = inspect.signature(io.Schema).parameters
    wanted = {
        "node_id",
        "display_name",
        "category",
        "description",
        "search_aliases",
        "inputs",
        "outputs",
        "is_output_node",
    }
    assert wanted <= set(known) and "is_input_list" in known


@fact("api.ComfyNode")
def comfy_node(comfy):
    for name in ("define_schema", "execute", "validate_inputs", "fingerprint_inputs"):
        assert inspect.ismethod(getattr(io.ComfyNode, name)), name


@fact("api.NodeOutput")
def node_output(comfy):
    assert io.NodeOutput(1, 2, ui={"text": ("a",)}).result == (1, 2)


@fact("api.Custom")
def custom(comfy):
    socket = io.Custom("HRV_FACTS")
    assert socket.Input("a").io_type == socket.Output().io_type == "HRV_FACTS"


@fact("api.inputs")
def inputs(comfy):
    made = io.String.Input(
        "a", default="", multiline=True, optional=True, advanced=True, placeholder="b", tooltip="c"
    )
    assert made.advanced and made.placeholder == "b" and made.optional
    io.Combo.Input("a", options=["b"], default="b"), io.Boolean.Input("a", default=True)
    (
        io.Float.Input("a", default=1.0, min=0.0, max=2.0, step=0.1),
        io.Int.Input("a", control_after_generate=True),
    )
    io.Float.Input("a", force_input=True), io.Image.Output(display_name="b", is_output_list=True)


@fact("api.ControlAfterGenerate")
def control_after_generate(comfy):
    assert io.ControlAfterGenerate.fixed.value == "fixed"


@fact("api.PreviewImage")
def preview_image(comfy):
    shown = ui.PreviewImage(torch.zeros(1, 8, 8, 3)).as_dict()
    assert set(shown["images"][0]) >= {"filename", "subfolder", "type"} and shown["animated"] == (False,)
