"""A long evening: many runs with changing seeds, sizes and words, through ComfyUI's executor with each of its caches. Memory is
flat after the first ten, no file handle and no file is left behind, and recordings stay within their limit."""

from __future__ import annotations

import ctypes
import gc
import os
import tempfile
from pathlib import Path

import pytest
import torch

LINUX = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads Linux's /proc")
SIZES = [(8, 8), (8, 12), (12, 8), (16, 16), (9, 11)]
WORDS = ["cat", "", "dog", "a red cat", "mat"]
LIMIT_MB = 16


def resident_megabytes() -> float:
    """What is in use: memory that was freed and not given back to the system yet does not count."""
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def files_in(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*") if path.is_file()} if folder.is_dir() else set()


class Session:
    """One user's graph: model and CLIP through Record Attention, two prompts, a sampler, three readers."""

    def __init__(self, comfy, runner):
        import rig
        from executor import given

        self.runner = runner
        self.sources = {
            "model": given(rig.tiny("sd1"), "long model"),
            "clip": given(rig.clip("sd1"), "long clip"),
        }
        self.recording = None

    def prompt(self, number: int) -> dict:
        from executor import given, node, taken

        height, width = SIZES[number // 3 % len(SIZES)]
        latent = given({"samples": torch.zeros(1 + number % 2, 4, height, width)}, f"long latent {number}")
        sampler = {
            "seed": number // 2,
            "steps": 1,
            "cfg": 2.0,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1.0,
        }
        record = {
            "start_percent": 0.0,
            "end_percent": 1.0,
            "time_bins": 1,
            "negative": False,
            "memory_limit_mb": LIMIT_MB,
        }
        text = f"a red cat and a dog on mat {number // 7}"
        shown = {
            "role": "positive",
            "normalize": "shared",
            "threshold": 0.4,
            "alpha": 0.6,
            "colormap": "turbo",
            "caption": False,
        }
        return {
            **self.sources,
            "latent": latent,
            "record": node("HRVRecordAttention", model=["model", 0], clip=["clip", 0], **record),
            "positive": node("CLIPTextEncode", clip=["record", 1], text=text),
            "negative": node("CLIPTextEncode", clip=["record", 1], text="ugly"),
            "sampler": node(
                "KSampler", model=["record", 0], positive=["positive", 0], negative=["negative", 0],
                latent_image=["latent", 0], **sampler,
            ),
            "heads": node("HRVAutoHeads", attention=["record", 2], latent=["sampler", 0], word="cat", percent=23.0),
            "heatmap": node(
                "HRVHeatmap", attention=["record", 2], latent=["sampler", 0], words=WORDS[number % len(WORDS)], unit="words",
                heads=["heads", 0], **shown,
            ),
            "taken": taken("heatmap", 1),
            "recording": taken("record", 2),
        }  # fmt: skip

    def run(self, number: int) -> None:
        from executor import GIVEN

        outcome = self.runner.run(self.prompt(number))
        assert outcome.status == "success", outcome.message
        (heat,) = GIVEN.pop("heatmap 1")
        assert heat.isfinite().all() and heat.max() > 0
        (recording,) = GIVEN.pop("record 2", [self.recording])
        GIVEN.pop(f"long latent {number}")
        assert sum(run.nbytes for run in recording.runs) <= LIMIT_MB * 2**20
        self.recording = recording


def long_session(comfy, cache: str, runs: int, growth: float) -> None:
    from executor import Runner

    # The RAM cache keeps what fits, and would grow by design: asked to leave more memory free than any machine has, it gives
    # up everything that the present graph does not need.
    arguments = {"lru": 20, "ram": 0.01, "ram_inactive": 10_000.0}
    session = Session(comfy, Runner(comfy, cache, **arguments))
    base = Path(comfy.folder_paths.base_path)
    temp = Path(comfy.folder_paths.get_temp_directory())
    for number in range(runs):
        session.run(number)
        if number == 9:
            gc.collect()
            memory, handles = resident_megabytes(), open_files()
            before, scratch = files_in(base), set(os.listdir(tempfile.gettempdir()))
    gc.collect()
    assert open_files() <= handles + 1
    assert resident_megabytes() <= memory * growth, f"{memory:.0f} → {resident_megabytes():.0f} MB"
    assert {name for name in files_in(base) - before if not name.startswith(str(temp))} == set()
    new = set(os.listdir(tempfile.gettempdir())) - scratch
    assert [name for name in new if "hrv" in name.lower() or name.endswith((".part", ".safetensors"))] == []


@LINUX
def test_twenty_runs(comfy):
    long_session(comfy, "CLASSIC", 20, 1.05)


@LINUX
@pytest.mark.heavy
@pytest.mark.way("300 queued runs with changing seeds, sizes and words")
@pytest.mark.parametrize("cache", ["CLASSIC", "LRU", "RAM_PRESSURE"])
def test_three_hundred_runs(comfy, cache):
    long_session(comfy, cache, 300, 1.05)
