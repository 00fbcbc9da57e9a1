"""What a graphics card might do otherwise: types, ComfyUI's ways to attend, weights that are fetched layer by layer, memory. On the CPU the
same is tried there. tools/gpu_check.py runs this and others on a card."""

import gc
import sys

import comfy.ldm.modules.attention as attention
import comfy.model_management as management
import models
import pytest
import rig
import token_rig
import torch
from rig import ON_GPU

from hrv_pack.hrv.recording import kernel

gpu_only = pytest.mark.skipif(not ON_GPU, reason="needs a graphics card")
TYPES = (torch.float16, torch.bfloat16, torch.float32)
# half precision takes long on a CPU, so there it is tried in one way
WAYS = [
    (dtype, way)
    for dtype in TYPES
    for way in ("default", "attention_pytorch", "attention_split")
    if ON_GPU or way == "default" or dtype == torch.float32
]


@pytest.fixture
def attend(monkeypatch):
    """Makes ComfyUI attend in one of its ways."""

    def choose(way: str) -> None:
        if way == "default":
            return
        for module in list(sys.modules.values()):
            for name in ("optimized_attention", "optimized_attention_masked"):
                if getattr(module, "__name__", "").startswith("comfy.ldm") and hasattr(module, name):
                    monkeypatch.setattr(module, name, getattr(attention, way))

    return choose


def same_image(studio, batch: int = 1) -> None:
    latent = rig.empty(batch)
    plain = rig.sample(studio.model, studio.positive, studio.negative, latent)
    assert plain.isfinite().all()
    assert torch.equal(plain, rig.sample(studio.recorded, studio.positive, studio.negative, latent))
    run = rig.last_run(studio.recording)
    assert not run.warnings and len(rig.entry(studio.recording).maps) == len(run.layout.blocks)


@pytest.mark.parametrize(("dtype", "way"), WAYS, ids=str)
@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_the_image_is_the_same(kind, dtype, way, attend):
    attend(way)
    studio = rig.studio(kind, model=models.random_model(rig.CONFIG[kind], dtype))
    same_image(studio)
    same_image(studio, batch=4)


@gpu_only
def test_the_image_is_the_same_where_weights_are_fetched_layer_by_layer(monkeypatch):
    monkeypatch.setattr(management, "vram_state", management.VRAMState.NO_VRAM)
    same_image(rig.studio(model=models.random_model(rig.CONFIG["sdxl"], torch.float16)))


@gpu_only
def test_memory_is_given_back():
    def used() -> int:
        gc.collect()
        torch.cuda.synchronize()
        return torch.cuda.memory_allocated()

    studio = rig.studio(model=models.random_model(rig.CONFIG["sdxl"], torch.float16))
    rig.sample(studio.model, studio.positive, studio.negative)
    before = used()
    for _ in range(3):
        rig.sample(studio.recorded, studio.positive, studio.negative)
    assert used() - before < 2**20


@gpu_only
@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_the_kernel_sums_what_the_plain_way_does(kind, dtype, monkeypatch):
    """Of both prompts, two images, in both bins of the schedule."""
    studio = rig.studio(kind, model=models.random_model(rig.CONFIG[kind], dtype), record_negative=True)

    def maps() -> list[torch.Tensor]:
        rig.sample(studio.recorded, studio.positive, studio.negative, rig.empty(2), steps=6)
        run = rig.last_run(studio.recording)
        assert not run.warnings and len(run.entries) == 2
        return [maps for entry in run.entries for _, maps in sorted(entry.maps.items())]

    found = maps()
    monkeypatch.setattr(kernel, "_works", False)
    for one, plain in zip(found, maps(), strict=True):
        assert torch.allclose(one.float(), plain.float(), rtol=2e-3, atol=1e-5)


@gpu_only
def test_layers_are_launched_together(monkeypatch):
    launched, real = [], kernel.kernel_source.launch

    def counting(form, pieces):
        launched.append(len(pieces))
        real(form, pieces)

    monkeypatch.setattr(kernel.kernel_source, "launch", counting)
    studio = rig.studio(model=models.random_model(rig.CONFIG["sdxl"], torch.float16))
    rig.sample(studio.recorded, studio.positive, studio.negative, steps=1)
    assert sum(launched) == len(studio.recording.layout.blocks) and len(launched) < sum(launched) / 3


@gpu_only
@pytest.mark.parametrize("family", token_rig.known())
def test_transformers_draw_the_same_image(family):
    studio = token_rig.studio(family)
    prompts, latent = (token_rig.prompt(family), token_rig.prompt(family, seed=1)), token_rig.empty(family)
    plain = token_rig.draw(studio.model, *prompts, latent)
    assert torch.equal(plain, token_rig.draw(studio.recorded, *prompts, latent)) and studio.run.entries
