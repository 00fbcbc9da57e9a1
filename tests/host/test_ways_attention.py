"""What other packs do inside the UNet's attention: with each, the picture is theirs, and the maps are right or one warning
says why there are none. (More of them in test_other_packs.py; with steering, in test_steering_with_others.py.)"""

import pytest
import rig
import stand_in_layers
import stand_ins
import torch
from comfy import model_management as management
from comfy_extras import nodes_freelunch, nodes_hypertile, nodes_tomesd

from hrv_pack.host.follow.recorder import RecordOptions, attach

way = pytest.mark.way
SHAPE = {"latent": rig.empty(1, 16, 16)}


def node(cls, **inputs):
    """`change` of a node of ComfyUI's own, written as V3 class or, in older releases, as V1 class."""

    def change(model):
        if hasattr(cls, "execute"):
            out = cls.execute(model=model, **inputs)
            return getattr(out, "result", out)[0]
        return getattr(cls(), cls.FUNCTION)(model=model, **inputs)[0]

    return change


RIGHT = {
    "self-attention patches (reference, style aligned)": stand_ins.shared_attention,
    "regional attention inside a replacement": stand_ins.regions,
    "keys and values from a changed context (hypernetworks)": stand_ins.changed_keys,
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=way(name)) for name in RIGHT], ids=list(RIGHT))
def test_maps_are_right(studio, name):
    stand_ins.right(studio, RIGHT[name])


@way("HyperTile")
def test_hypertile(studio):
    torch.manual_seed(0)
    change = node(nodes_hypertile.HyperTile, tile_size=32, swap_size=1, max_depth=2, scale_depth=False)
    stand_ins.right(studio, change, latent=rig.empty(1, 32, 48))


@way("Token merging of self-attention (ToMe)")
@pytest.mark.skipif(
    torch.device("cpu") != management.get_torch_device(),
    reason="merging on a graphics card differs from run to run",
)
def test_token_merging():
    """The smaller SD1, because it works on the finest grid, which SDXL gives no attention."""
    stand_ins.right(rig.studio("sd1"), seeded(node(nodes_tomesd.TomePatchModel, ratio=0.5)))


def seeded(change):
    """The node draws the pixels that it merges from torch's own generator, in each call of the UNet: every sampling with the
    clone starts from the same state."""

    def seeding(model):
        clone = change(model)

        def wrapper(executor, *args, **kwargs):
            torch.manual_seed(7)
            return executor(*args, **kwargs)

        return stand_ins.wrapped(clone, stand_ins.WRAPPERS.DIFFUSION_MODEL, wrapper)

    return seeding


@way("Token merging that changes pixel counts inside a block", maps="one warning")
def test_token_merging_of_cross_attention(studio):
    stand_ins.one_warning(studio, stand_ins.merged_pixels, "changes rows, pixels or tokens", **SHAPE)


@way("FreeU")
@pytest.mark.parametrize("version", ["FreeU", "FreeU_V2"])
def test_freeu(studio, version):
    change = node(getattr(nodes_freelunch, version), b1=1.3, b2=1.4, s1=0.9, s2=0.2)
    stand_ins.right(studio, change)


@way("A layer's forward exchanged by an object patch")
def test_an_object_patch_on_a_layer(studio):
    """That layer is left alone and left out; the others are recorded."""
    for recording, calls in stand_ins.both_orders(studio, stand_in_layers.object_patched):
        run = rig.last_run(recording)
        (warning,) = run.warnings
        layers = len(run.layout.blocks)
        assert warning.startswith(
            f"1 of {layers} layers was not recorded, because another pack runs it in its own way"
        )
        (found,) = run.of_role("positive")
        left_out = {run.layout.blocks[n].key for n in range(len(run.layout.blocks)) if n not in found.maps}
        assert left_out == {("middle", 0, 0)}
        wanted = rig.expected(calls, run.layout, studio.positive[0][0], found.columns)
        for number, maps in found.maps.items():
            assert torch.allclose(maps.sum(1).flatten(-2).double(), wanted[number], atol=2e-3)


@way("An attn2 replacement that later nodes of its pack extend (2-tuple and 3-tuple keys)")
@pytest.mark.parametrize("key", [("middle", 0), ("middle", 0, 1)], ids=str)
def test_a_replacement_that_later_nodes_extend(studio, key):
    """Ours is set before, between and after theirs; nothing of ours lies where they would find it."""

    def theirs(model):
        return stand_ins.extended(stand_ins.extended(model, 0.3, key), -0.2, key)

    stand_ins.right(studio, theirs)
    first = stand_ins.extended(studio.model, 0.3, key)
    between, _, recording = attach(first, None, RecordOptions())
    with rig.watch(studio.model) as calls:
        latent = stand_ins.draw(studio, stand_ins.extended(between, -0.2, key))
    assert torch.equal(latent, stand_ins.draw(studio, theirs(studio.model)))
    run = rig.last_run(recording)
    assert run.warnings == []
    rig.assert_maps(run.entries[0], calls, run.layout, studio.positive[0][0], tolerance=2e-3)
