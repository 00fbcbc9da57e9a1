"""The picture does not change: the latent with the recorder equals the latent without, bit for bit."""

import nodes
import pytest
import rig
import safetensors.torch
import torch
from comfy_extras import nodes_custom_sampler as custom
from comfy_extras import nodes_perpneg


@pytest.fixture(scope="module")
def studio():
    return rig.studio(negative="ugly, bad " * 30)


def assert_same(studio, draw) -> torch.Tensor:
    """`draw(model)` gives one latent for the plain and the recorded model, and the recording knows it."""
    plain, recorded = draw(studio.model), draw(studio.recorded)
    assert plain.isfinite().all() and plain.std() > 0
    assert torch.equal(plain, recorded)
    matches = studio.recording.match(recorded)
    assert len(matches) == recorded.shape[0]
    assert [(m.element, m.exact) for m in matches] == [(i, True) for i in range(len(matches))]
    run = matches[0].run
    assert run.warnings == []
    assert len(run.entries[0].maps) == len(run.layout.blocks)
    return recorded


def draw_with(studio, **options):
    return lambda model: rig.sample(model, studio.positive, studio.negative, **options)


EVALUATIONS = {
    "euler": 3,
    "euler_ancestral": 3,
    "dpmpp_2m": 3,
    "dpmpp_sde": 5,
    "uni_pc": 3,
    "heun": 5,
    "lcm": 3,
}


@pytest.mark.way("Samplers (euler, ancestral, dpmpp, uni_pc, heun, lcm)")
@pytest.mark.parametrize("sampler", EVALUATIONS)
def test_samplers(studio, sampler):
    assert_same(studio, draw_with(studio, sampler=sampler, steps=3))
    assert rig.entry(studio.recording).count() == EVALUATIONS[sampler]


@pytest.mark.way("Batches, with and without guidance")
@pytest.mark.parametrize("cfg", [1.0, 7.0])
@pytest.mark.parametrize("batch", [1, 3, 5])
def test_guidance_and_batch(studio, cfg, batch):
    assert_same(studio, draw_with(studio, cfg=cfg, latent=rig.empty(batch, 8, 8)))
    assert rig.entry(studio.recording).batch == batch


@pytest.mark.way("Sizes in steps of 8 pixels")
@pytest.mark.parametrize("size", [(24, 40), (23, 37), (17, 40), (9, 31), (33, 8), (25, 25)], ids=str)
@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_sizes_in_steps_of_8_pixels(kind, size):
    studio = rig.studio(kind)
    assert_same(studio, draw_with(studio, latent=rig.empty(1, *size), steps=1))
    run = rig.last_run(studio.recording)
    half = [tuple(-(-n // 2**i) for n in size) for i in range(4)]
    assert run.grid == (half[0] if kind == "sd1" else half[1])
    grids = {tuple(m.shape[-2:]) for m in run.entries[0].maps.values()}
    assert grids == set(half if kind == "sd1" else half[1:3])


@pytest.mark.way("KSamplerAdvanced in two halves")
def test_two_halves(studio):
    """KSamplerAdvanced: the first half keeps its noise, the second adds none."""

    def half(model, latent, start, end, noise, leftover):
        node = nodes.KSamplerAdvanced()
        prompts = studio.positive, studio.negative
        settings = (model, noise, 3, 4, 7.0, "euler", "normal", *prompts, latent, start, end, leftover)
        return node.sample(*settings)[0]["samples"]

    firsts = []

    def draw(model):
        firsts.append(half(model, rig.empty(), 0, 2, "enable", "enable"))
        return half(model, {"samples": firsts[-1]}, 2, 4, "disable", "disable")

    assert_same(studio, draw)
    assert torch.equal(*firsts)
    first, whole = studio.recording.match(firsts[1])[0], rig.last_run(studio.recording)
    assert first.exact and first.run is not whole
    assert first.run.entries[0].count() == 2 and whole.entries[0].count() == 4


def guiders(studio):
    empty = rig.encode(studio.clip, "")
    other = rig.encode(studio.clip, "a blue dog")
    p, n = studio.positive, studio.negative
    return {
        "basic": lambda m: custom.BasicGuider.execute(m, p),
        "cfg 1": lambda m: custom.CFGGuider.execute(m, p, n, 1.0),
        "cfg 7": lambda m: custom.CFGGuider.execute(m, p, n, 7.0),
        "dual": lambda m: custom.DualCFGGuider.execute(m, p, other, n, 5.0, 3.0, "regular"),
        "dual nested": lambda m: custom.DualCFGGuider.execute(m, p, other, n, 5.0, 3.0, "nested"),
        "perp-neg": lambda m: nodes_perpneg.PerpNegGuider.execute(m, p, n, empty, 7.0, 1.0),
    }


@pytest.mark.way("Guiders (basic, CFG, dual CFG, Perp-Neg)")
@pytest.mark.parametrize("name", ["basic", "cfg 1", "cfg 7", "dual", "dual nested", "perp-neg"])
def test_guiders(studio, name):
    guider = guiders(studio)[name]
    assert_same(studio, lambda model: rig.sample_custom(guider(model).result[0]))
    recorded = [(e.role, e.index) for e in rig.last_run(studio.recording).entries]
    assert recorded == ([("positive", 0), ("positive", 1)] if name.startswith("dual") else [("positive", 0)])


@pytest.mark.way("img2img")
def test_img2img(studio):
    start = torch.randn(2, 4, 16, 24, generator=torch.Generator().manual_seed(0))
    assert_same(studio, draw_with(studio, latent={"samples": start}, denoise=0.5, steps=3))


@pytest.mark.way("Inpainting with a noise mask")
def test_inpaint(studio):
    start = torch.randn(1, 4, 16, 24, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(128, 192)
    mask[32:96, 64:128] = 1.0
    (latent,) = nodes.SetLatentNoiseMask().set_mask({"samples": start}, mask)
    out = assert_same(studio, draw_with(studio, latent=latent))
    assert torch.allclose(out[..., :3, :], start[..., :3, :], atol=1e-4)


@pytest.mark.way("LoRA before and after ours")
def test_lora(tmp_path, monkeypatch):
    """A LoRA on the model, by node LoraLoader, before and after the recorder."""
    studio = rig.studio()
    unet = {
        key: weight
        for key, weight in studio.model.model.state_dict().items()
        if key.endswith(("attn2.to_q.weight", "attn2.to_k.weight", "attn1.to_v.weight"))
    }
    generator = torch.Generator().manual_seed(1)
    lora = {}
    for key, weight in unet.items():
        name = "lora_unet_" + key.removeprefix("diffusion_model.").removesuffix(".weight").replace(".", "_")
        lora[f"{name}.lora_up.weight"] = torch.randn(weight.shape[0], 2, generator=generator)
        lora[f"{name}.lora_down.weight"] = torch.randn(2, weight.shape[1], generator=generator)
    safetensors.torch.save_file(lora, tmp_path / "random.safetensors")
    monkeypatch.setattr("folder_paths.get_full_path_or_raise", lambda kind, name: str(tmp_path / name))

    def with_lora(model):
        return nodes.LoraLoader().load_lora(model, None, "random.safetensors", 0.5, 0.0)[0]

    draw = draw_with(studio)
    without = draw(studio.model)
    after = assert_same(studio, lambda model: draw(with_lora(model)))
    assert not torch.equal(without, after), "the LoRA does nothing"
    before = rig.attach(with_lora(studio.model), None, rig.RecordOptions())[0]
    assert torch.equal(draw(before), after)
    assert torch.equal(draw(studio.model), without)
