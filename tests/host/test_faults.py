"""Faults: cancelled at any point, any line of ours failing, memory or disk running out. The picture stays, and nothing half
is left. (Named causes and places are in test_failures.py; cancels inside the sampler in test_runs.py.)"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import comfy.model_management
import pytest
import rig
import torch

from devtools.server import ROOT

InterruptProcessing = comfy.model_management.InterruptProcessingException
# makes ComfyUI and the pack importable in a process of its own, as the fixtures do in this one
SET_UP = """
import importlib.util, sys
sys.path[:0] = [r"{tests}/host", r"{tests}"]
for folder in (r"{tests}", r"{tests}/host"):
    spec = importlib.util.spec_from_file_location("set_up_" + folder.split("/")[-1], folder + "/conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
"""


# -- any function of ours fails ---------------------------------------------------------------------------------------

# the guard itself, and what stands outside it and only calls the sampler
GUARD = {
    "begun", "guarded", "abandon", "warn", "free", "cause_of", "attend", "entry", "_outer_sample", "_predict_noise", "_calc_cond_batch",
    "_diffusion_model", "evaluated", "look_back", "options_for", "<lambda>", "go_innermost", "helper",
}  # fmt: skip
OURS = (str(ROOT / "hrv") + os.sep, str(ROOT / "host") + os.sep)


def name_of(code) -> str:
    return f"{Path(code.co_filename).stem}.{code.co_name}"


def functions_called(action) -> dict[str, object]:
    """Name → code of every function of the pack that an action calls, in the order of their first calls."""
    seen = {}

    def look(frame, event, argument):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(OURS) and code.co_name not in GUARD:
            seen.setdefault(name_of(code), code)

    sys.setprofile(look)
    try:
        action()
    finally:
        sys.setprofile(None)
    return seen


def failing_in(code, action):
    """Run an action in which the first call of a function raises."""
    done = []

    def trace(frame, event, argument):
        if frame.f_code is code and not done:
            done.append(1)
            raise RuntimeError("broken")

    sys.settrace(trace)
    try:
        return action()
    finally:
        sys.settrace(None)


def leak_of(code, action, allowed: list[torch.Tensor]) -> str:
    """What the sampler notices when this function fails; empty for nothing."""
    try:
        latent = failing_in(code, action)
    except RuntimeError as error:
        return f"the error: {error}"
    return "" if any(torch.equal(latent, one) for one in allowed) else "another latent"


def recorded_sampling():
    """(action, expected latent, recording) of a sampling with everything on: both prompts, parts of the schedule."""
    studio = rig.studio("sd1", time_bins=2, record_negative=True)
    small = {"latent": rig.empty(1, 8, 8), "steps": 1}
    expected = rig.sample(studio.model, studio.positive, studio.negative, **small)
    return (
        lambda: rig.sample(studio.recorded, studio.positive, studio.negative, **small),
        expected,
        studio.recording,
    )


def test_whatever_function_of_the_recorder_fails():
    """Each once, at its first call in a sampling: the latent is the same, and the next sampling is recorded."""
    action, expected, recording = recorded_sampling()
    functions = functions_called(action)
    assert len(functions) > 15
    leaks = {name: leak_of(code, action, [expected]) for name, code in functions.items()}
    assert {name: leak for name, leak in leaks.items() if leak} == {}
    assert torch.equal(action(), expected)
    run = rig.last_run(recording)
    assert run.warnings == [] and recording.match(expected)[0].exact


def test_whatever_function_of_the_steering_fails():
    """The picture is made, steered or not; the next sampling is steered again."""
    import steering_rig as steered

    from hrv_pack.host.steering import steer

    studio = rig.studio("sd1")
    model, _ = steer(studio.model, None, steered.scaling(studio.recording.layout))
    small = {"latent": rig.empty(1, 8, 8), "steps": 1}

    def action():
        return rig.sample(model, studio.positive, studio.negative, **small)

    expected = action()
    plain = rig.sample(studio.model, studio.positive, studio.negative, **small)
    assert not torch.equal(expected, plain)
    functions = functions_called(action)
    assert len(functions) > 8
    leaks = {name: leak_of(code, action, [expected, plain]) for name, code in functions.items()}
    assert {name: leak for name, leak in leaks.items() if leak} == {}
    assert torch.equal(action(), expected)


# -- cancelled at any point -------------------------------------------------------------------------------------------


def interrupting(model, point: str):
    """A clone with which the user cancels: before the sampler, in a layer, or after the last step."""
    import stand_ins

    def cancel():
        comfy.model_management.interrupt_current_processing(True)
        comfy.model_management.throw_exception_if_processing_interrupted()

    clone = model.clone()
    if point == "before":
        clone = stand_ins.wrapped(clone, stand_ins.WRAPPERS.OUTER_SAMPLE, lambda executor, *a, **k: cancel())
    elif point == "in a layer":
        clone.set_model_attn2_replace(lambda q, k, v, extra: cancel(), "middle", 0)
    else:

        def after(executor, *args, **kwargs):
            executor(*args, **kwargs)
            cancel()

        clone = stand_ins.wrapped(clone, stand_ins.WRAPPERS.SAMPLER_SAMPLE, after)
    return clone


@pytest.mark.parametrize("point", ["before", "in a layer", "after the last step"])
def test_a_cancel_leaves_nothing(point):
    studio = rig.studio("sd1")
    small = {"latent": rig.empty(1, 8, 8), "steps": 2}
    expected = rig.sample(studio.model, studio.positive, studio.negative, **small)
    with pytest.raises(InterruptProcessing):
        rig.sample(interrupting(studio.recorded, point), studio.positive, studio.negative, **small)
    assert studio.recording.runs == []
    assert torch.equal(rig.sample(studio.recorded, studio.positive, studio.negative, **small), expected)
    (match,) = studio.recording.match(expected)
    assert match.exact and match.run.warnings == [] and match.run.entries[0].counts == [2]


def test_a_cancel_while_heatmaps_are_made(comfy, monkeypatch):
    """The node stops as ComfyUI's own do, and what was recorded can be read afterwards."""
    from hrv_pack.nodes import heatmap

    studio = rig.studio("sd1", positive="a red cat and a blue dog")
    small = {"latent": rig.empty(1, 8, 8), "steps": 1}
    latent = {"samples": rig.sample(studio.recorded, studio.positive, studio.negative, **small)}
    original = heatmap.node_progress

    def cancelled():
        report = original()
        comfy_management = comfy_module()
        comfy_management.interrupt_current_processing(True)
        return report

    with monkeypatch.context() as patch:
        patch.setattr(heatmap, "node_progress", cancelled)
        with pytest.raises(InterruptProcessing):
            comfy.run_node("HRVHeatmap", attention=studio.recording, latent=latent)
    overlay, *_ = comfy.run_node("HRVHeatmap", attention=studio.recording, latent=latent)
    assert len(overlay) == 7


def comfy_module():
    return sys.modules["comfy.model_management"]


# -- memory -----------------------------------------------------------------------------------------------------------

STARVING = """
import resource, sys
import torch
torch.set_num_threads(1)
import comfy.ldm.modules.attention as attention
import rig
attention.optimized_attention = attention.attention_pytorch  # the host's choice for the CPU takes what it finds free

words = "a red cat on a mat, a blue dog in a hat, " * 14
studio = rig.studio("sd1", positive=words, memory_limit=2**30)
options = {"latent": rig.empty(4, 64, 64), "steps": 1, "cfg": 1.0}
expected = rig.sample(studio.model, studio.positive, studio.negative, **options)
rig.sample(studio.model, studio.positive, studio.negative, **options)
(peak,) = (int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmPeak"))
resource.setrlimit(resource.RLIMIT_AS, (peak + 32 * 2**20, peak + 32 * 2**20))
latent = rig.sample(studio.recorded, studio.positive, studio.negative, **options)
print("SAME" if torch.equal(latent, expected) else "OTHER")
(match,) = studio.recording.match(latent[:1])
print("KEPT" if match.run.nbytes else "DROPPED", "|", " ".join(match.run.warnings))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="limits address space as Linux does")
def test_memory_that_really_runs_out():
    """The process may take 32 MB more than the sampling needs, and the maps need more: they are dropped, the picture stays."""
    from conftest import COMFYUI

    script = SET_UP.format(tests=ROOT / "tests") + STARVING
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        # large pieces of memory go back to the system as soon as they are free, so that the limit counts what is in use
        env={
            **os.environ,
            "HRV_COMFYUI": str(COMFYUI),
            "OMP_NUM_THREADS": "1",
            "MALLOC_MMAP_THRESHOLD_": "65536",
        },
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.split("\n")
    assert "SAME" in lines, done.stdout
    (told,) = (line for line in lines if line.startswith(("KEPT", "DROPPED")))
    assert told.startswith("DROPPED") and "memory ran out" in told


# -- disk -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def full_disk():
    """Files may grow to 4 KB and no further: writing more fails in the system, as on a full disk."""
    resource = pytest.importorskip("resource", reason="Linux and macOS only")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(on: bool) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096 if on else soft, hard))

    yield limit
    limit(False)


def files(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()
    }


def test_a_full_disk_leaves_no_half_recording(comfy, full_disk, tmp_path, monkeypatch):
    monkeypatch.setattr(comfy.folder_paths, "output_directory", str(tmp_path))
    studio = rig.studio("sd1")
    latent = {
        "samples": rig.sample(
            studio.recorded, studio.positive, studio.negative, rig.empty(1, 16, 16), steps=1
        )
    }
    save = {"attention": studio.recording, "latent": latent, "filename_prefix": "kept"}
    comfy.run_node("HRVSaveAttention", **save)
    before = files(tmp_path)
    full_disk(True)
    try:
        with pytest.raises(OSError, match=r"could not be saved in .*Nothing was changed") as error:
            comfy.run_node("HRVSaveAttention", **save)
    finally:
        full_disk(False)
    assert "\n" not in str(error.value)
    assert files(tmp_path) == before
    comfy.run_node("HRVSaveAttention", **save)
    assert len(files(tmp_path)) == 2


def test_a_full_disk_leaves_no_half_vectors(comfy, full_disk, tmp_path):
    from hrv_pack.hrv import vector_files
    from hrv_pack.hrv.vectors import HeadRelevance

    layout = rig.studio("sdxl").recording.layout
    votes = torch.ones((200, layout.heads), dtype=torch.int64)
    relevance = HeadRelevance.from_votes(tuple(f"c{i}" for i in range(200)), votes, layout, {})
    path = tmp_path / "vectors.safetensors"
    vector_files.write(path, relevance)
    before = path.read_bytes()
    full_disk(True)
    try:
        with pytest.raises(OSError):
            vector_files.write(path, relevance)
    finally:
        full_disk(False)
    assert files(tmp_path) == {"vectors.safetensors": len(before)} and path.read_bytes() == before


# -- killed in the middle of a build ----------------------------------------------------------------------------------

BUILD = """
import rig
import torch
torch.set_num_threads(1)
from hrv_pack.host import building, vector_store
building.SAVE_EVERY = 0.0
import folder_paths
from pathlib import Path
vector_store.new_path = lambda name: Path(sys.argv[1]) / "build.safetensors"
prompts = "\\n".join(f"a cat number {i}" for i in range(500))
with torch.inference_mode():
    building.build(rig.tiny("sd1"), rig.clip("sd1"), "", prompts, 1, 1.0, 64, 64, 0, 1,
                   concept_words="animals: cat, dog\\ncolors: red, blue")
"""


def test_a_build_that_is_killed_loses_only_what_came_after_the_last_save(tmp_path):
    """Killed without a chance to clean up: the file is whole, and the build goes on from it."""
    import time

    from conftest import COMFYUI

    from hrv_pack.hrv import vector_files

    script = SET_UP.format(tests=ROOT / "tests") + BUILD
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "HRV_COMFYUI": str(COMFYUI), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    path = tmp_path / "build.safetensors"
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline and process.poll() is None and not path.exists():
        time.sleep(0.05)
    time.sleep(0.5)
    process.kill()
    _, said = process.communicate()
    assert path.exists(), said.decode()[-2000:]
    saved = vector_files.read(path)
    assert saved.votes is not None and saved.votes.sum() > 0
    assert saved.votes.sum(0).unique().numel() == 1  # every head has voted as often as every other
    left_over = [name for name in files(tmp_path) if name != path.name]
    assert len(left_over) <= 1 and all(
        name.endswith(".part") for name in left_over
    )  # being written at that moment
