"""Small stand-ins for what other packs do to a model: their picture stays theirs, and the recording is right or
says why it is not."""

import copy
import types

import comfy.ldm.modules.attention
import comfy.patcher_extension
import comfy.samplers
import pytest
import rig
import torch
from comfy_extras import nodes_model_downscale, nodes_pag, nodes_perpneg, nodes_sag
from stand_ins import added_tokens, both_orders, draw, image_attention, one_warning, replaced, right

from hrv_pack.hrv.recording.recording import NoRecording

attention = comfy.ldm.modules.attention
WRAPPERS = comfy.patcher_extension.WrappersMP
way = pytest.mark.way


def compare(studio, change, **options) -> None:
    """The same latent with and without the recorder, before or after it, and not the latent of the unchanged model."""
    for _ in both_orders(studio, change, **options):
        pass


@way("attn2 replacement (IPAdapter), 2-tuple and 3-tuple keys, before and after ours")
@pytest.mark.parametrize("place", [("middle", 0), ("middle", 0, 1), ("input", 4), ("output", 5, 0)], ids=str)
def test_attn2_replacements_still_act(studio, place):
    """Under the key of a block, or of one transformer in it; P is of the text."""
    right(studio, lambda model: replaced(model, *place))


@way("Wrapper that replaces attention in each call")
def test_a_wrapper_that_replaces_attention_in_each_call(studio):
    """Installed after the recorder, it puts its replacement into transformer_options when the UNet is called."""

    def change(model):
        def wrapper(executor, x, timesteps, context, y, control, transformer_options, **kwargs):
            replace = {"attn2": {("middle", 0): image_attention}}
            options = {**transformer_options, "patches_replace": replace}
            return executor(x, timesteps, context, y, control, options, **kwargs)

        clone = model.clone()
        clone.add_wrapper_with_key(WRAPPERS.DIFFUSION_MODEL, "other pack", wrapper)
        return clone

    right(studio, change)


@way("attn2 patch and attn2 output patch")
def test_attention_patches_of_the_same_length(studio):
    def change(model):
        clone = model.clone()
        clone.set_model_attn2_patch(lambda n, context, value, extra: (n * 1.1, context * 0.9, value * 0.5))
        clone.set_model_attn2_output_patch(lambda n, extra: n * 1.2)
        return clone

    right(studio, change)


@way("attn2 patch that changes the context length", maps="one warning")
def test_a_patch_that_adds_tokens(studio, caplog):
    one_warning(studio, added_tokens, "× 82 where 2 ×")
    assert (
        caplog.text.count("Another node changes rows, pixels or tokens") == 2
    )  # once for each recorded sampling


@way("Regional attention that multiplies rows (attention couple)", maps="one warning")
def test_a_patch_that_multiplies_rows(studio):
    """Like attention couple: each row is shown several prompts."""

    def change(model):
        def patch(n, context, value, extra):
            return n.repeat(2, 1, 1), context.repeat(2, 1, 1), value.repeat(2, 1, 1)

        def output(n, extra):
            return 1.1 * n.chunk(2)[0]

        clone = model.clone()
        clone.set_model_attn2_patch(patch)
        clone.set_model_attn2_output_patch(output)
        return clone

    one_warning(studio, change, "had 4 ×")


@way("A patch that changes some layers only", maps="of the other layers, one warning")
def test_only_some_layers_changed(studio):
    """The other layers are recorded."""

    def patch(n, context, value, extra):
        if extra["block"][0] == "middle":
            context, value = torch.cat([context, context], 1), torch.cat([value, 0.5 * value], 1)
        return n, context, value

    clone = studio.recorded.clone()
    clone.set_model_attn2_patch(patch)
    draw(studio, clone)
    run = rig.last_run(studio.recording)
    kept = {run.layout.blocks[number].part for number in run.entries[0].maps}
    assert kept == {"input", "output"} and len(run.warnings) == 1


@way("Tiled diffusion", maps="one warning")
def test_tiles(studio):
    """Like tiled diffusion: the model sees pieces of the latent, one after the other."""

    def change(model):
        def wrapper(apply_model, args):
            parts = args["input"].chunk(2, dim=-1)
            return torch.cat([apply_model(part, args["timestep"], **args["c"]) for part in parts], dim=-1)

        clone = model.clone()
        clone.set_model_unet_function_wrapper(wrapper)
        return clone

    one_warning(studio, change, "samples in tiles")


@way("Another number of rows than prompts", maps="one warning")
def test_rows_that_do_not_divide(studio):
    def change(model):
        def wrapper(apply_model, args):
            c = {k: torch.cat([v, v[:1]]) if torch.is_tensor(v) else v for k, v in args["c"].items()}
            x, t = (torch.cat([args[k], args[k][:1]]) for k in ("input", "timestep"))
            return 1.01 * apply_model(x, t, **c)[:-1]

        clone = model.clone()
        clone.set_model_unet_function_wrapper(wrapper)
        return clone

    one_warning(studio, change, "multiplies rows")


@way("Own forward on the attention layers (NAG)", maps="one warning")
def test_foreign_forward(studio, monkeypatch):
    """Like NAG: another pack puts its own forward on the attention layers."""
    unet = studio.model.model.diffusion_model
    expected = draw(studio, studio.model)

    def forward(self, x, context=None, value=None, mask=None, transformer_options=None):
        return 0.9 * attention.CrossAttention.forward(self, x, context, value, mask)

    for name, module in unet.named_modules():
        if name.endswith("attn2"):
            monkeypatch.setattr(module, "forward", types.MethodType(forward, module), raising=False)
    plain = draw(studio, studio.model)
    assert not torch.equal(plain, expected)
    assert torch.equal(draw(studio, studio.recorded), plain)
    (warning,) = rig.last_run(studio.recording).warnings
    assert warning.startswith("Another pack has replaced the cross-attention")


@way("PAG and SAG")
@pytest.mark.parametrize("node", [nodes_pag.PerturbedAttentionGuidance, nodes_sag.SelfAttentionGuidance])
def test_a_second_pass_in_one_evaluation(studio, node):
    """PAG and SAG run the model again in each step: the first pass counts, once."""

    def change(model):
        return (
            node.execute(model, 3.0).result[0]
            if "Pert" in node.__name__
            else node.execute(model, 0.5, 2.0).result[0]
        )

    latent = rig.empty(1, 16, 16)
    compare(studio, change, latent=latent)
    with rig.watch(studio.model) as calls:
        draw(studio, change(studio.recorded), latent=latent)
    assert len(calls) == 4
    found = rig.entry(studio.recording)
    assert found.count() == 2
    rig.assert_maps(found, calls[::2], studio.recording.layout, studio.positive[0][0], tolerance=2e-3)


@way("Perp-Neg")
def test_perp_neg_old_and_new(studio):
    empty = rig.encode(studio.clip, "")

    def old(model):
        return nodes_perpneg.PerpNeg.execute(model, empty, 1.0).result[0]

    compare(studio, old)
    assert [(e.role, [e.count()]) for e in rig.last_run(studio.recording).entries] == [("positive", [2])]


@way("Deep Shrink (block sizes change over the steps)")
def test_deep_shrink(studio):
    """The grid changes while the sampler runs: maps are kept on the first one."""

    def change(model):
        node = nodes_model_downscale.PatchModelAddDownscale
        return node.execute(model, 3, 2.0, 0.0, 0.5, True, "bicubic", "bicubic").result[0]

    compare(studio, change, steps=4)
    found = rig.entry(studio.recording)
    assert found.count() == 4 and len(found.maps) == len(studio.recording.layout.blocks)
    assert {tuple(m.shape[-2:]) for m in found.maps.values()} <= {(4, 6), (2, 3), (8, 12)}


@way("optimized_attention_override set by another pack")
def test_optimized_attention_override(studio):
    def change(model):
        clone = model.clone()
        override = lambda function, *args, **kwargs: 0.9 * function(*args, **kwargs)  # noqa: E731
        clone.model_options["transformer_options"]["optimized_attention_override"] = override
        return clone

    right(studio, change)


@way("Attention exchanged for all models (sage and the like)")
def test_attention_exchanged_for_all(studio, monkeypatch):
    """Like the sage attention switches: the host's own function is another one."""
    expected = draw(studio, studio.model)
    original = attention.optimized_attention
    monkeypatch.setattr(attention, "optimized_attention", lambda *a, **k: 0.9 * original(*a, **k))
    plain = draw(studio, studio.model)
    assert not torch.equal(plain, expected)
    assert torch.equal(draw(studio, studio.recorded), plain)


@way("model_function_wrapper")
def test_model_function_wrapper(studio):
    def change(model):
        def wrapper(apply_model, args):
            return 0.95 * apply_model(args["input"], args["timestep"], **args["c"])

        clone = model.clone()
        clone.set_model_unet_function_wrapper(wrapper)
        return clone

    right(studio, change)


@way("Deep copies of model_options")
def test_deep_copied_options(studio):
    """A pack that copies model_options deeply still records into the same recording."""
    clone = studio.recorded.clone()
    clone.model_options = copy.deepcopy(clone.model_options)
    clone.wrappers = copy.deepcopy(clone.wrappers)
    latent = draw(studio, clone)
    assert studio.recording.match(latent)[0].exact
    assert torch.equal(latent, draw(studio, studio.model))


@way("Two Record Attention nodes in a row")
def test_two_recorders_in_a_row(studio):
    """Both record the same, and the latent stays."""
    second, _, recording = rig.attach(studio.recorded, None, rig.RecordOptions(negative=True))
    latent = draw(studio, second)
    assert torch.equal(latent, draw(studio, studio.model))
    ours, theirs = rig.entry(studio.recording), rig.entry(recording)
    assert recording.match(latent)[0].exact and studio.recording.match(latent)[0].exact
    for number, maps in ours.maps.items():
        assert torch.equal(maps, theirs.maps[number])


class Unsupported(torch.nn.Module):
    """A diffusion model without cross-attention, such as Flux."""

    def forward(self, x):
        return x


def test_a_model_without_cross_attention(studio, caplog):
    """It comes back as a plain clone, with a warning and a recording that name what is supported."""
    model = types.SimpleNamespace(model=types.SimpleNamespace(diffusion_model=Unsupported()))
    model.clone = lambda: model
    model.add_wrapper_with_key = lambda *given: None
    out, clip, recording = rig.attach(model, studio.clip, rig.RecordOptions())
    assert out is model and clip is not None
    assert "Supported: Stable Diffusion 1.x, 2.x, SDXL" in caplog.text
    with pytest.raises(NoRecording, match=r"\(Unsupported\) cannot be recorded.*SDXL"):
        recording.match(torch.zeros(1, 4, 8, 8))
