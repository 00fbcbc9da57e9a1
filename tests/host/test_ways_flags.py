"""The server's own options: with each, one graph with and without the recorder gives the same latent, and its maps can be
read. One server for each option, so all but one combination wait for --heavy. (On the CPU, where ComfyUI takes some of
these options without effect, and GPU_ONLY not at all.)"""

from __future__ import annotations

import pytest
from safetensors.torch import load_file
from test_ways_graphs import graph

from devtools.server import ComfyServer

OPTIONS = [
    "--lowvram", "--novram", "--highvram", "--use-split-cross-attention", "--use-quad-cross-attention",
    "--use-pytorch-cross-attention", "--force-upcast-attention", "--fp16-intermediates", "--fp16-unet", "--bf16-unet", "--fp32-text-enc", "--cache-none",
    "--cache-classic", "--cache-lru 10", "--disable-smart-memory", "--fast", "--deterministic",
]  # fmt: skip
GPU_ONLY = ("--lowvram", "--novram", "--highvram")
IN_CI = "--bf16-unet --use-split-cross-attention"


def saved_latent(server, prompt: dict):
    """The latent that SaveLatent wrote."""
    prompt = {
        **prompt,
        "save": {"class_type": "SaveLatent", "inputs": {"samples": ["sampler", 0], "filename_prefix": "way"}},
    }
    result = server.run(prompt, timeout=600)
    (place,) = result.outputs["save"]["latents"]
    return load_file(server.base / "output" / place["subfolder"] / place["filename"])["latent_tensor"], result


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(IN_CI, marks=pytest.mark.way(f"main.py {IN_CI}")),
        *(pytest.param(o, marks=[pytest.mark.heavy, pytest.mark.way(f"main.py {o}")]) for o in OPTIONS),
    ],
)
def test_option(comfyui_folder, options):
    name = options.split()[0]
    if name not in (comfyui_folder / "comfy" / "cli_args.py").read_text(encoding="utf-8"):
        pytest.skip(f"this ComfyUI has no {name}")
    if name in GPU_ONLY:
        pytest.skip(f"ComfyUI takes {name} only with a GPU")
    with ComfyServer(comfyui_folder, options=tuple(options.split())) as server:
        plain, _ = saved_latent(server, graph(recorded=False))
        recorded, result = saved_latent(server, graph())
        log = server.log
    assert plain.isfinite().all() and plain.std() > 0
    assert plain.equal(recorded)
    assert len(result.images["heat"]) == 1
    assert [line for line in log.splitlines() if "[HRV]" in line] == []
