"""What the pack knows of ComfyUI (host/facts, docs/host.md), each looked up in the running host.

A test that fails here says by its name what this ComfyUI no longer has; the fact's row in docs/host.md says what breaks.
"""

from __future__ import annotations

import ast
import importlib.util
import re

import pytest
from fact_checks import CHECKS

from devtools.setup import ROOT

GROUPS = ("options", "sampling", "models", "tokens", "texts", "running", "page")
ROW = re.compile(r"\| `(\w+\.[\w.]+)` \| .+ \| (.+) \| (.+) \| (.+) \|")
WITHOUT_MODULE = ("api", "page")
# what stands in the modules of host/facts and is the pack's own
OURS = {
    "paths.KIND", "paths.DATA", "paths.DEMO_LORAS", "paths.SHIPPED_VECTORS", "paths.SHIPPED_CONCEPTS", "paths.own_folder",
    "paths.concept_folders", "paths.FreeName", "patcher.NONE",
    "guider.Asked", "guider.Guidance", "attention.attention_given",
}  # fmt: skip
# modules that put facts to use: of these only what has a row
LOGIC = {"families", "layers", "rows", "sampler_call", "weights_identity"}
MISSING: dict[str, ImportError] = {}

for group in GROUPS:
    try:
        importlib.import_module(f"facts_of_{group}")
    except ImportError as error:  # a class or module of the host's that is gone; the error names it
        MISSING[group] = error


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3])


def rows() -> dict[str, tuple[list[str], str]]:
    """Fact → (paths of ours that use it, since when) in docs/host.md."""
    found = ROW.findall((ROOT / "docs" / "host.md").read_text(encoding="utf-8"))
    assert len({name for name, *_ in found}) == len(found), "a fact has two rows"
    return {name: (re.findall(r"`([^`]+)`", used), since) for name, used, since, _ in found}


@pytest.mark.parametrize("group", GROUPS)
def test_host_has_what_is_imported(group):
    if group in MISSING:
        pytest.fail(str(MISSING[group]))


@pytest.mark.parametrize("name", CHECKS)
def test_host_has(name, comfy):
    import comfyui_version

    since = re.match(r"\d+\.\d+\.\d+", rows()[name][1]) if name in rows() else None
    if since and numbers(comfyui_version.__version__) < numbers(since[0]):
        pytest.skip(f"came with {since[0]}")
    CHECKS[name](comfy)


# -- docs/host.md -----------------------------------------------------------------------------------------------


def test_each_fact_has_a_row_and_each_row_a_fact():
    assert set(rows()) == set(CHECKS)


def defined(module: str) -> list[str]:
    """Public names that a module of host/facts defines."""
    found = []
    for node in ast.parse((ROOT / "host" / "facts" / f"{module}.py").read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.append(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            names = [part.id for part in ast.walk(target) if isinstance(part, ast.Name)] if target else []
            found += ast.literal_eval(node.value) if names == ["__all__"] else names
    return [name for name in found if not name.startswith("_")]


def test_all_that_host_facts_names_is_checked():
    modules = {file.stem for file in (ROOT / "host" / "facts").glob("*.py")} - {"__init__"} - LOGIC
    named = {f"{module}.{name}" for module in modules for name in defined(module)} - OURS
    checked = {name for name in CHECKS if name.partition(".")[0] not in {*WITHOUT_MODULE, *LOGIC}}
    assert named == checked


@pytest.mark.parametrize("name", CHECKS)
def test_a_fact_is_where_its_row_says(name):
    module, _, inside = name.partition(".")
    if module not in WITHOUT_MODULE:
        found = importlib.import_module(f"hrv_pack.host.facts.{module}")
        for part in inside.split("."):
            found = getattr(found, part)
    for path in rows()[name][0]:
        place = ROOT / (path if path.split("/")[0] in ("nodes", "js", "__init__.py") else f"host/{path}")
        assert place.exists(), f"{path} is not there"
        if name != "api.inputs" and not name.endswith(
            "_GIVEN"
        ):  # what takes these has parameters of these names
            files = [place] if place.is_file() else list(place.rglob("*.py"))
            last = inside.rpartition(".")[2]
            assert any(re.search(rf"\b{last}\b", file.read_text(encoding="utf-8")) for file in files), (
                f"{path} does not use it"
            )


OF_HOST = re.compile(
    r"^\s*(?:import|from) (comfy(?!_api)\w*|folder_paths|latent_preview|server|nodes|execution)\b",
    re.MULTILINE,
)


def literals() -> list[tuple[str, str]]:
    """(fact, its value) of the names that stand for one key, kind or module of the host's."""
    found = []
    for name in constants():
        module, _, inside = name.partition(".")
        value = getattr(importlib.import_module(f"hrv_pack.host.facts.{module}"), inside)
        if module in ("options", "conditionings", "wrappers", "network") and isinstance(value, str):
            found.append((name, value))
    return found


def test_elsewhere_in_host_nothing_is_spelled_out():
    for file in (ROOT / "host").rglob("*.py"):
        if file.relative_to(ROOT / "host").parts[0] == "facts":
            continue
        text = file.read_text(encoding="utf-8")
        assert not OF_HOST.search(text), f"{file} imports {OF_HOST.search(text)[1]}"
        for name, value in literals():
            assert f'"{value}"' not in text, f"{file} has “{value}”, which is {name}"


# -- every check can fail ---------------------------------------------------------------------------------------


def constants() -> list[str]:
    """Facts that are a name, or several."""
    found = []
    for name in CHECKS:
        module, _, inside = name.partition(".")
        if module not in {*WITHOUT_MODULE, *LOGIC} and inside.isupper():
            found.append(name)
    return found


@pytest.mark.parametrize("name", constants())
def test_another_name_is_not_found(name, comfy, monkeypatch):
    module, _, inside = name.partition(".")
    facts = importlib.import_module(f"hrv_pack.host.facts.{module}")
    value = getattr(facts, inside)
    if isinstance(value, str):
        gone = "gone"
    elif isinstance(value, int):
        gone = value + 1
    elif name == "cancel.CANCELS":
        gone = (KeyError,)
    elif name == "network.STAGES":
        gone = (("input", "gone"),)
    else:
        gone = type(value)(("gone",))
    monkeypatch.setattr(facts, inside, gone)
    with pytest.raises(BaseException):  # noqa: B017  what a check raises is its own
        CHECKS[name](comfy)


# fact → where the host has it
PLACES = {
    "drawing.empty_latent": "comfy.sample.fix_empty_latent_channels",
    "drawing.previews": "latent_preview.get_previewer",
    "drawing.samplers": "comfy.samplers.KSampler.SAMPLERS",
    "guider.evaluate": "comfy.samplers.calc_cond_batch",
    "memory.empty_cache": "comfy.model_management.soft_empty_cache",
    "memory.free_memory": "comfy.model_management.get_free_memory",
    "network.attention_in_layer": "comfy.ldm.modules.attention.optimized_attention",
    "paths.free_name": "folder_paths.get_save_image_path",
    "paths.full_path": "folder_paths.get_full_path",
    "paths.names": "folder_paths.get_filename_list",
    "patcher.highest_sigma": "comfy.model_sampling.ModelSamplingDiscrete.sigma_max",
    "patcher.latent_out": "comfy.model_base.BaseModel.process_latent_out",
    "patcher.original_weights": "comfy.model_patcher.ModelPatcher.get_key_patches",
    "patcher.sigma_at": "comfy.model_sampling.ModelSamplingDiscrete.percent_to_sigma",
    "running.bar": "comfy.utils.ProgressBar",
    "running.move": "comfy.utils.ProgressBar.update_absolute",
    "running.stop_if_cancelled": "comfy.model_management.throw_exception_if_processing_interrupted",
    "server.instance": "server.PromptServer.instance",
    "server.send": "server.PromptServer.send_sync",
    "server.show_line": "server.PromptServer.send_progress_text",
    "text_encoder.METHODS": "comfy.sd.CLIP.encode_from_tokens_scheduled",
    "text_encoder.tokens_of": "comfy.sd1_clip.SDTokenizer.tokenize_with_weights",
    "wrappers.add": "comfy.model_patcher.ModelPatcher.add_wrapper_with_key",
    "wrappers.has": "comfy.model_patcher.ModelPatcher.get_wrappers",
    "wrappers.remove": "comfy.model_patcher.ModelPatcher.remove_wrappers_with_key",
}


@pytest.mark.parametrize("name", PLACES)
def test_what_a_host_lacks_is_not_found(name, comfy, monkeypatch):
    CHECKS[name](comfy)
    monkeypatch.delattr(PLACES[name])
    with pytest.raises(BaseException):  # noqa: B017
        CHECKS[name](comfy)


@pytest.mark.parametrize("name", [name for name in CHECKS if name.startswith("page.")])
def test_what_a_page_lacks_is_not_found(name, comfy, monkeypatch):
    page = importlib.import_module("facts_of_page")
    monkeypatch.setattr(page, "page", lambda: "const other = 0;")
    with pytest.raises(AssertionError, match="the page's code has nothing like"):
        CHECKS[name](comfy)


def test_a_class_that_is_gone_is_named(monkeypatch):
    network = importlib.import_module("hrv_pack.host.facts.network")
    spec = importlib.util.spec_from_file_location("network_again", network.__file__)
    monkeypatch.delattr("comfy.ldm.modules.attention.CrossAttention")
    with pytest.raises(ImportError, match="CrossAttention"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
