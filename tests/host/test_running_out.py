"""Memory or disk running out, and a build that is killed: nothing half is left, and the picture stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import rig
import torch
from limits import full_disk

from devtools.server import ROOT

# makes ComfyUI and the pack importable in a process of its own, as the fixtures do in this one
SET_UP = """
import importlib.util, sys
sys.path[:0] = [r"{tests}/host", r"{tests}"]
for folder in (r"{tests}", r"{tests}/host"):
    spec = importlib.util.spec_from_file_location("set_up_" + folder.split("/")[-1], folder + "/conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
"""


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
print("KEPT" if any(entry.maps for entry in match.run.entries) else "DROPPED", "|", " ".join(match.run.warnings))
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


def files(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()
    }


def test_a_full_disk_leaves_no_half_recording(comfy, tmp_path, monkeypatch):
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
    with full_disk(), pytest.raises(OSError, match=r"could not be saved in .*Nothing was changed") as error:
        comfy.run_node("HRVSaveAttention", **save)
    assert "\n" not in str(error.value)
    assert files(tmp_path) == before
    comfy.run_node("HRVSaveAttention", **save)
    assert len(files(tmp_path)) == 2


def test_a_full_disk_leaves_no_half_vectors(comfy, tmp_path):
    from hrv_pack.hrv.files import vector_files
    from hrv_pack.hrv.relevance.vectors import HeadRelevance

    layout = rig.studio("sdxl").recording.layout
    votes = torch.ones((200, layout.heads), dtype=torch.int64)
    relevance = HeadRelevance.from_votes(tuple(f"c{i}" for i in range(200)), votes, layout, {})
    path = tmp_path / "vectors.safetensors"
    vector_files.write(path, relevance)
    before = path.read_bytes()
    with full_disk(), pytest.raises(OSError):
        vector_files.write(path, relevance)
    assert files(tmp_path) == {"vectors.safetensors": len(before)} and path.read_bytes() == before


# -- killed in the middle of a build ----------------------------------------------------------------------------------

BUILD = """
import rig
import torch
torch.set_num_threads(1)
from hrv_pack.host.build import building
from hrv_pack.host.facts import paths
building.SAVE_EVERY = 0.0
import folder_paths
from pathlib import Path
paths.own_folder = lambda: Path(sys.argv[1])
prompts = "\\n".join(f"a cat number {i}" for i in range(500))
with torch.inference_mode():
    building.build(rig.tiny("sd1"), rig.clip("sd1"), concepts="", prompts=prompts, steps=1, cfg=1.0, width=64, height=64,
                   seed=0, draws=1, concept_words="animals: cat, dog\\ncolors: red, blue")
"""


def test_a_build_that_is_killed_loses_only_what_came_after_the_last_save(tmp_path):
    """Killed without a chance to clean up: the file is whole, and the build goes on from it."""
    import time

    from conftest import COMFYUI

    from hrv_pack.hrv.files import vector_files

    script = SET_UP.format(tests=ROOT / "tests") + BUILD
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "HRV_COMFYUI": str(COMFYUI), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline and process.poll() is None and not [*tmp_path.glob("*.safetensors")]:
        time.sleep(0.05)
    time.sleep(0.5)
    process.kill()
    _, said = process.communicate()
    assert [*tmp_path.glob("*.safetensors")], said.decode()[-2000:]
    (path,) = tmp_path.glob("*.safetensors")
    saved = vector_files.read(path)
    assert saved.votes is not None and saved.votes.sum() > 0
    assert saved.votes.sum(0).unique().numel() == 1  # every head has voted as often as every other
    left_over = [name for name in files(tmp_path) if name != path.name]
    assert len(left_over) <= 1 and all(
        name.endswith(".part") for name in left_over
    )  # being written at that moment
