"""A recording saved in this process, read by a real server that never sampled it: the same pictures."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import torch

from devtools.server import ROOT
from devtools.workflow import workflow_to_prompt
from hrv_pack.hrv.heads.known_layouts import SDXL
from hrv_pack.hrv.recording.recording import Recording

sys.path.append(str(ROOT / "tests" / "unit"))
from prompts import prompt  # noqa: E402
from synthetic import entry, run_of  # noqa: E402

MAPS = "best heads for each word"


def pixels(overlay: torch.Tensor) -> np.ndarray:
    """As PreviewImage writes them."""
    return np.clip(255.0 * overlay.numpy(), 0, 255).astype(np.uint8)


def test_a_recording_of_sdxl_is_read_by_a_fresh_comfyui(comfy, server, monkeypatch):
    """1024 × 1024, 20 tokens (start and end among them), 1300 heads."""
    grids = [(64, 64) if block.heads == 10 else (32, 32) for block in SDXL.blocks]
    latent = {"samples": torch.randn(1, 4, 128, 128, generator=torch.Generator().manual_seed(0))}
    words = prompt(" ".join(f"w{i}" for i in range(18)), text="made up")
    made = entry(words, columns=range(20), counts=(25,), grids=grids, layout=SDXL)
    recording = Recording(SDXL, 2**30)
    recording.add(run_of(latent["samples"], made, layout=SDXL))

    monkeypatch.setattr(comfy.folder_paths, "output_directory", str(server.base / "output"))
    (path,) = comfy.run_node(
        "HRVSaveAttention", attention=recording, latent=latent, filename_prefix="hrv/sdxl"
    )
    assert Path(path).stat().st_size <= 70e6
    name = "hrv/sdxl_00001_.safetensors [output]"
    try:
        listed = server.get("/object_info/HRVLoadAttention")["HRVLoadAttention"]["input"]["required"]["name"]
        assert name in listed[1]["options"]
        heatmap = {"attention": ["load", 0], "latent": ["load", 1], "words": "w3, w7", "unit": "words"}
        heatmap |= {"role": "positive", "normalize": "shared", "threshold": 0.4, "alpha": 0.6, "maps": MAPS}
        result = server.run(
            {
                "load": {"class_type": "HRVLoadAttention", "inputs": {"name": name}},
                "heatmap": {
                    "class_type": "HRVHeatmap",
                    "inputs": {**heatmap, "colormap": "turbo", "caption": True},
                },
                "preview": {"class_type": "PreviewImage", "inputs": {"images": ["heatmap", 0]}},
            }
        )
    finally:
        Path(path).unlink()
    overlay, *_ = comfy.run_node(
        "HRVHeatmap", attention=recording, latent=latent, words="w3, w7", unit="words", maps=MAPS
    )
    assert len(result.images["preview"]) == len(overlay) == 2
    for image, expected in zip(result.images["preview"], pixels(overlay), strict=True):
        found = np.asarray(PIL.Image.open(io.BytesIO(image.data)).convert("RGB"))
        assert np.array_equal(found, expected)


def test_the_lower_row_of_the_example_reads_what_the_upper_row_saved(server):
    """Without the model: of the upper row, only the VAE runs with it."""
    path = ROOT / "example_workflows" / "13_save_attention_and_read_it_later.json"
    workflow = json.loads(path.read_text(encoding="utf-8"))
    object_info = server.object_info()
    upper = workflow_to_prompt(workflow, object_info)
    muted = {str(node["id"]) for node in workflow["nodes"] if node["mode"]}
    assert len(muted) == 3 and not muted & set(upper)
    result = server.run(upper, timeout=600)
    saved = {node for node in upper if upper[node]["class_type"] == "HRVSaveAttention"}
    assert saved <= {*result.ran, *result.cached}
    workflow["nodes"] = [node | {"mode": 0} for node in workflow["nodes"]]
    both = workflow_to_prompt(workflow, object_info)
    loaders = {node for node in both if both[node]["class_type"] == "HRVDemoCheckpoint"}
    lower = {node: both[node] for node in muted | loaders}
    result = server.run(lower, timeout=600)
    assert muted <= set(result.ran)
    (heatmap,) = (node for node in lower if lower[node]["class_type"] == "HRVHeatmap")
    assert len(result.images[heatmap]) == 2
