"""Small stand-ins for what other packs do to a model, and the one question asked of each: with it, are the maps right or
is there one warning, and is the picture the one without us?

    stand_ins.right(studio, change)                      the latent is `change`'s own, the maps are Σ P, no warning
    stand_ins.one_warning(studio, change, "in tiles")    the latent is `change`'s own, the maps are left out, and why

`change(model)` gives a clone as the other pack's node does. Each is tried before and after our own node. Here are those that change
attention; layers: stand_in_layers.py; what a sampling calls: stand_in_samplings.py; other models: stand_in_models.py.
"""

from __future__ import annotations

import comfy.ldm.modules.attention
import comfy.patcher_extension
import pytest
import rig
import torch

from hrv_pack.hrv.recording.recording import NoRecording

attention = comfy.ldm.modules.attention
WRAPPERS = comfy.patcher_extension.WrappersMP


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
        assert found.count() == evaluations
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


def added_tokens(model):
    """A context that grows inside the model, by five tokens."""

    def patch(n, context, value, extra):
        return n, torch.cat([context, context[:, :5]], 1), torch.cat([value, -value[:, :5]], 1)

    clone = model.clone()
    clone.set_model_attn2_patch(patch)
    return clone


def regions(model):
    """Like regional attention that works inside the replacement: each row looks at the context and at a shifted one."""

    def replacement(q, k, v, extra_options):
        heads, rows = extra_options["n_heads"], q.shape[0]
        twice = attention.optimized_attention(
            q.repeat(2, 1, 1), torch.cat([k, k.roll(1, 1)]), torch.cat([v, v.roll(3, 1)]), heads
        )
        left = (torch.arange(q.shape[1], device=q.device) % 2 == 0)[None, :, None]
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


def wrapped(model, kind: str, wrapper):
    """A clone with another pack's wrapper of this kind."""
    clone = model.clone()
    clone.add_wrapper_with_key(kind, "other pack", wrapper)
    return clone
