"""Small stand-ins for what other packs do to a model, and the one question asked of each: with it, are the maps right or
is there one warning, and is the picture the one without us?

    stand_ins.right(studio, change)                      the latent is `change`'s own, the maps are Σ P, no warning
    stand_ins.one_warning(studio, change, "in tiles")    the latent is `change`'s own, the maps are left out, and why

`change(model)` gives a clone as the other pack's node does. Each is tried before and after our own node.
"""

from __future__ import annotations

import comfy.ldm.modules.attention
import comfy.model_base
import comfy.model_patcher
import comfy.patcher_extension
import comfy.samplers
import comfy.supported_models
import models
import pytest
import rig
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

from hrv_pack.hrv.recording.recording import NoRecording

attention = comfy.ldm.modules.attention
WRAPPERS = comfy.patcher_extension.WrappersMP
ModelType = comfy.model_base.ModelType


# -- the question -----------------------------------------------------------------------------------------------------


def draw(studio, model, **options) -> torch.Tensor:
    return rig.sample(model, studio.positive, studio.negative, **options)


def both_orders(studio, change, changes: bool = True, **options):
    """Yields (recording, calls of the UNet) of the two orders of our node and the other pack's. The latents are the same as
    without us; with `changes`, not the one of the unchanged model."""
    plain = draw(studio, change(studio.model), **options)
    assert plain.isfinite().all()
    if changes:
        assert not torch.equal(plain, draw(studio, studio.model, **options)), "the stand-in does nothing"
    before, _, recording = rig.attach(change(studio.model), None, rig.RecordOptions())
    for model, found in ((change(studio.recorded), studio.recording), (before, recording)):
        with rig.watch(studio.model) as calls:
            assert torch.equal(draw(studio, model, **options), plain)
        yield found, calls


def right(studio, change, evaluations: int = 2, counted=slice(None), changes: bool = True, **options) -> None:
    """In both orders: the recording is Σ P of the positive prompt over the `counted` calls of the UNet, without a warning."""
    for recording, calls in both_orders(studio, change, changes, **options):
        run = rig.last_run(recording)
        assert run.warnings == []
        (found,) = run.of_role("positive")
        assert found.counts == [evaluations]
        rig.assert_maps(found, calls[counted], run.layout, studio.positive[0][0], tolerance=2e-3)


def one_warning(studio, change, fragment: str, **options) -> None:
    """In both orders: one warning with this fragment, and a reader that gets it, alone, instead of maps (case D6)."""
    for recording, _ in both_orders(studio, change, **options):
        run = rig.last_run(recording)
        (warning,) = run.warnings
        assert fragment in warning
        for read in (lambda run=run: run.of_role("positive"), lambda run=run: run.grid):
            with pytest.raises(NoRecording) as refusal:
                read()
            assert str(refusal.value) == warning


# -- attention --------------------------------------------------------------------------------------------------------


def image_attention(q, k, v, extra_options):
    """Like IPAdapter: attention over the text, plus attention over two image tokens."""
    heads = extra_options["n_heads"]
    image = torch.linspace(-1, 1, 2 * k.shape[-1]).reshape(1, 2, -1).repeat(k.shape[0], 1, 1)
    text = attention.optimized_attention(q, k, v, heads)
    return text + 0.7 * attention.optimized_attention(q, image, image.flip(1), heads)


def replaced(model, *place):
    """`image_attention` under the key of a block, or of one transformer in it."""
    clone = model.clone()
    clone.set_model_attn2_replace(image_attention, *place)
    return clone


class Extendable:
    """Like IPAdapter Plus: a replacement that further nodes of the same pack add to, instead of putting in their own."""

    def __init__(self, strength: float):
        self.strengths = [strength]

    def add(self, strength: float) -> None:
        self.strengths.append(strength)

    def __call__(self, q, k, v, extra_options):
        assert float(extra_options["sigmas"][0]) >= 0
        out = attention.optimized_attention(q, k, v, extra_options["n_heads"])
        for strength in self.strengths:
            out = out + strength * out.roll(1, dims=1)
        return out


def extended(model, strength: float, key=("middle", 0)):
    """A clone with one more strength in its `Extendable`. Fails, as the pack does, when something else sits there."""
    clone = model.clone()
    options = clone.model_options["transformer_options"] = clone.model_options["transformer_options"].copy()
    options["patches_replace"] = options.get("patches_replace", {}).copy()
    attn2 = options["patches_replace"]["attn2"] = options["patches_replace"].get("attn2", {}).copy()
    if key in attn2:
        attn2[key].add(strength)
    else:
        attn2[key] = Extendable(strength)
    return clone


def shared_attention(model):
    """Like reference and style-aligned packs: self-attention also looks at the other rows of the batch."""
    clone = model.clone()

    def patch(q, k, v, extra_options):
        return q, torch.cat([k, k.flip(0)], 1), torch.cat([v, v.flip(0)], 1)

    clone.set_model_attn1_patch(patch)
    clone.set_model_attn1_output_patch(lambda out, extra_options: 1.1 * out)
    return clone


def merged_pixels(model):
    """Like ToMe that merges for cross-attention too: pixel counts change inside a block."""
    clone = model.clone()
    clone.set_model_attn2_patch(lambda n, context, value, extra: (n[:, ::2], context, value))
    clone.set_model_attn2_output_patch(lambda n, extra: 0.9 * n.repeat_interleave(2, dim=1))
    return clone


def regions(model):
    """Like regional attention that works inside the replacement: each row looks at the context and at a shifted one."""

    def replacement(q, k, v, extra_options):
        heads, rows = extra_options["n_heads"], q.shape[0]
        twice = attention.optimized_attention(
            q.repeat(2, 1, 1), torch.cat([k, k.roll(1, 1)]), torch.cat([v, v.roll(3, 1)]), heads
        )
        left = (torch.arange(q.shape[1]) % 2 == 0)[None, :, None]
        return torch.where(left, twice[:rows], twice[rows:])

    clone = model.clone()
    for key in (("input", 4), ("middle", 0), ("output", 1, 0)):
        clone.set_model_attn2_replace(replacement, *key)
    return clone


def changed_keys(model):
    """Like NegPip without added tokens, and like hypernetworks: keys and values come from a changed context."""
    clone = model.clone()
    clone.set_model_attn2_patch(lambda n, context, value, extra: (n, context.abs(), -value))
    return clone


def object_patched(model):
    """A pack that exchanges the forward of one cross-attention layer by an object patch."""
    clone = model.clone()
    name = "diffusion_model.middle_block.1.transformer_blocks.0.attn2"
    layer = clone.get_model_object(name)

    def forward(x, context=None, value=None, mask=None, transformer_options=None):
        return 0.9 * attention.CrossAttention.forward(layer, x, context, value, mask)

    clone.add_object_patch(f"{name}.forward", forward)
    return clone


class SubTransformer(attention.SpatialTransformer):
    """A pack's own class for the layers that hold transformers."""


class SubUNet(UNetModel):
    """A pack's own class for the whole network."""


class OtherUNet(torch.nn.Module):
    """The same, not derived from the host's."""

    forward, _forward = UNetModel.forward, UNetModel._forward


class OwnWayBlock(attention.BasicTransformerBlock):
    """A pack's own class for the transformers, which looks at no replacement."""

    def forward(self, x, context=None, transformer_options=None):
        x = x + self.attn1(self.norm1(x))
        x = x + 0.9 * self.attn2(self.norm2(x), context=context)
        return x + self.ff(self.norm3(x))


class Dimmer(torch.nn.Module):
    """What a pack puts in the place of a layer."""

    def forward(self, x):
        return 0.9 * x


def places(model, part: str) -> list[str]:
    """The paths, as object patches name them, of all modules that have such a part: `transformer_blocks`, `attn2`."""
    return [name for name, module in model.model.named_modules() if hasattr(module, part)]


def exchanged(model, cls: type, paths):
    """A clone in which modules get another class by object patches."""
    clone = model.clone()
    for path in paths:
        clone.add_object_patch(f"{path}.__class__", cls)
    return clone


def put_in_place(model, path: str, module):
    """A clone in which another module stands in this place."""
    clone = model.clone()
    clone.add_object_patch(path, module)
    return clone


# -- evaluations ------------------------------------------------------------------------------------------------------


def wrapped(model, kind: str, wrapper):
    """A clone with another pack's wrapper of this kind."""
    clone = model.clone()
    clone.add_wrapper_with_key(kind, "other pack", wrapper)
    return clone


def scaled(executor, *args, **kwargs):
    """A wrapper that changes what comes out."""
    out = executor(*args, **kwargs)
    return [0.97 * part for part in out] if isinstance(out, (list, tuple)) else 0.97 * out


def shifted(executor, x, *args, **kwargs):
    """A wrapper that changes what goes in."""
    return executor(1.01 * x, *args, **kwargs)


def own_cond_batch(model):
    """Like packs that put a function of their own in the place of calc_cond_batch: conditionings one after the other."""
    clone = model.clone()

    def function(args):
        out = []
        for conds in args["conds"]:
            (one,) = comfy.samplers.calc_cond_batch(
                args["model"], [conds], args["input"], args["sigma"], args["model_options"]
            )
            out.append(1.01 * one)
        return out

    clone.model_options["sampler_calc_cond_batch_function"] = function
    return clone


def skipped_layers(model):
    """Like skip-layer guidance: the positive prompt once more in each evaluation, without the attention of a block."""
    clone = model.clone()

    def post_cfg(args):
        options = comfy.model_patcher.set_model_options_patch_replace(
            args["model_options"].copy(), lambda q, k, v, extra: torch.zeros_like(q), "attn2", "middle", 0
        )
        (weak,) = comfy.samplers.calc_cond_batch(
            args["model"], [args["cond"]], args["input"], args["sigma"], options
        )
        return args["denoised"] + 0.5 * (args["cond_denoised"] - weak)

    clone.set_model_sampler_post_cfg_function(post_cfg, disable_cfg1_optimization=True)
    return clone


def cached_steps(model, every: int = 2):
    """Like DeepCache and TeaCache: the UNet runs in every second evaluation only."""
    kept = []

    def wrapper(executor, x, *args, **kwargs):
        kept.append(executor(x, *args, **kwargs) if len(kept) % every == 0 else kept[-1])
        return kept[-1]

    return wrapped(model, WRAPPERS.DIFFUSION_MODEL, wrapper)


def cached_layers(model, every: int = 3):
    """Like a first-block cache: of the layers with transformers only the first runs in each call of the UNet, the others in every
    third; in between they give their last output again."""
    calls = []

    def counted(executor, *args, **kwargs):
        calls.append(1)
        return executor(*args, **kwargs)

    def cached(layer):
        kept = {}

        def forward(x, context=None, transformer_options=None):
            if len(calls) % every == 1:
                kept["out"] = attention.SpatialTransformer.forward(layer, x, context, transformer_options)
            return kept["out"].clone()

        return forward

    clone = wrapped(model, WRAPPERS.DIFFUSION_MODEL, counted)
    for path in places(model, "transformer_blocks")[1:]:
        clone.add_object_patch(f"{path}.forward", cached(clone.get_model_object(path)))
    return clone


# -- other models -----------------------------------------------------------------------------------------------------

SD2 = {**models.TINY_SD1, "use_linear_in_transformer": True, "num_heads": -1, "num_head_channels": 8}
REFINER = {
    **models.TINY_SDXL, "num_res_blocks": [2, 2, 2, 2], "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [0, 0, 1, 1, 1, 1, 0, 0], "transformer_depth_middle": 1,
    "transformer_depth_output": [0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0], "adm_in_channels": 5 * 256 + 24,
}  # fmt: skip
SSD1B = {
    **models.TINY_SDXL, "transformer_depth": [0, 0, 1, 1, 2, 2], "transformer_depth_middle": -1,
    "transformer_depth_output": [0, 0, 0, 1, 1, 2, 3, 2, 2],
}  # fmt: skip
KOALA = {
    **models.TINY_SDXL, "num_res_blocks": [1, 1, 1], "transformer_depth": [0, 1, 2], "transformer_depth_middle": -2,
    "transformer_depth_output": [0, 0, 1, 1, 2, 2],
}  # fmt: skip
INPAINT = {**models.TINY_SD1, "in_channels": 9}


def shaped(config: dict, supported: str, base: str, kind=ModelType.EPS, inpaint: bool = False):
    """A ModelPatcher of ComfyUI's own classes (names of comfy.supported_models and comfy.model_base), random weights."""
    model_config = getattr(comfy.supported_models, supported)(config)
    model_config.unet_config.update(config)
    model_config.set_inference_dtype(torch.float32, None)
    device = torch.device("cpu")
    model = getattr(comfy.model_base, base)(model_config, kind, device=device)
    if inpaint:
        model.set_inpaint()
    models.fill(model.diffusion_model, 0)
    for name, buffer in model.diffusion_model.named_buffers():
        if name == "pos_embed":  # SD3's, which a checkpoint would fill; else it is whatever the memory held
            buffer.normal_(generator=torch.Generator().manual_seed(0))
    model.eval()
    return comfy.model_patcher.ModelPatcher(model, load_device=device, offload_device=device)


def random_lora(model, names=("attn2.to_q.weight", "attn2.to_k.weight", "attn1.to_v.weight")) -> dict:
    """A LoRA file's tensors for these layers of the UNet."""
    generator, lora = torch.Generator().manual_seed(1), {}
    for key, weight in model.model.state_dict().items():
        if not key.endswith(names):
            continue
        name = "lora_unet_" + key.removeprefix("diffusion_model.").removesuffix(".weight").replace(".", "_")
        lora[f"{name}.lora_up.weight"] = torch.randn(weight.shape[0], 2, generator=generator)
        lora[f"{name}.lora_down.weight"] = torch.randn(2, weight.shape[1], generator=generator)
    return lora


def control_net(config: dict):
    """A ControlNet of this UNet's shape."""
    import comfy.cldm.cldm
    import comfy.controlnet

    own = {
        key: value for key, value in config.items() if key not in ("out_channels", "transformer_depth_output")
    }
    net = comfy.cldm.cldm.ControlNet(hint_channels=3, dtype=torch.float32, device=torch.device("cpu"), **own)
    models.fill(net, 3)
    return comfy.controlnet.ControlNet(net.eval(), load_device=torch.device("cpu"))


def t2i_adapter(config: dict):
    """A light T2I-adapter of this UNet's shape."""
    import comfy.controlnet
    import comfy.t2i_adapter.adapter

    channels = [config["model_channels"] * factor for factor in config["channel_mult"]]
    adapter = comfy.t2i_adapter.adapter.Adapter_light(channels=channels, nums_rb=1, cin=3 * 64)
    models.fill(adapter, 4)
    return comfy.controlnet.T2IAdapter(adapter.eval(), 3, 8, "nearest-exact", device=torch.device("cpu"))
