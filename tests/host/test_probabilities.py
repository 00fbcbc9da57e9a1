"""What is recorded is softmax(QKᵀ/√d): compared, for every block and head, with the plainest computation on q and
k as the layers' own to_q and to_k gave them."""

import models
import pytest
import rig
import torch

from hrv_pack.host.facts.layers import layout_of
from hrv_pack.hrv.recording import sums


@pytest.fixture
def unrounded(monkeypatch):
    """Maps stay in float32, as they are before they come to rest."""
    monkeypatch.setattr(sums, "AT_REST", torch.float32)


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_float32(kind, unrounded):
    studio = rig.studio(kind)
    with rig.watch(studio.model) as calls:
        rig.sample(studio.recorded, studio.positive, studio.negative, rig.empty(2, 11, 18), steps=1)
    found = rig.entry(studio.recording)
    assert found.columns == tuple(range(len("a red cat on a mat".split()) + 2))
    rig.assert_maps(found, calls, studio.recording.layout, studio.positive[0][0], tolerance=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_half_precision_weights(kind, dtype, unrounded):
    """q and k are half precision; P is computed from them in float32."""
    studio = rig.studio(kind, model=models.random_model(rig.CONFIG[kind], dtype))
    with rig.watch(studio.model) as calls:
        rig.sample(studio.recorded, studio.positive, studio.negative, rig.empty(1, 8, 13), steps=1)
    assert calls[0].q[0].dtype == dtype
    found = rig.entry(studio.recording)
    assert found.maps[0].dtype == torch.float32
    embedding = studio.positive[0][0].to(dtype)  # the model is given the prompt in its own type
    rig.assert_maps(found, calls, studio.recording.layout, embedding, tolerance=1e-3)


def test_sum_over_evaluations_at_rest():
    """heun evaluates twice a step; half precision costs a relative 2⁻¹¹."""
    studio = rig.studio()
    with rig.watch(studio.model) as calls:
        rig.sample(studio.recorded, studio.positive, studio.negative, sampler="heun", steps=2)
    found = rig.entry(studio.recording)
    assert found.count() == 3 and len(calls) == 3
    assert {m.dtype for m in found.maps.values()} == {torch.float16}
    rig.assert_maps(found, calls, studio.recording.layout, studio.positive[0][0], tolerance=3 * 2**-11)


def test_both_prompts_with_padding(unrounded):
    """A negative of two chunks pads the positive by repetition: its columns are folded back."""
    model, encoder = rig.tiny("sdxl"), rig.clip("sdxl")
    positive, negative = rig.encode(encoder, "a red cat"), rig.encode(encoder, "ugly " * 100)
    recorded, _, recording = rig.attach(model, None, rig.RecordOptions(negative=True))
    with rig.watch(model) as calls:
        rig.sample(recorded, positive, negative, rig.empty(2))
    assert {call.context.shape[1] for call in calls} == {154}
    for role, prompt, length in (("positive", positive, 77), ("negative", negative, 154)):
        found = rig.entry(recording, role)
        assert found.length == length and found.columns == tuple(
            range(length)
        )  # no CLIP: every column is kept
        rig.assert_maps(found, calls, recording.layout, prompt[0][0], tolerance=1e-5)
        total = found.maps[0].sum(dim=(1, 3))
        assert torch.allclose(total, torch.full_like(total, found.count()), atol=1e-5)


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_heads_are_numbered_in_the_order_of_execution(kind):
    studio = rig.studio(kind)
    unet = studio.model.model.diffusion_model
    names = {module: name for name, module in unet.named_modules() if name.endswith("attn2.to_q")}
    order = []
    handles = [module.register_forward_hook(lambda m, *_: order.append(names[m])) for module in names]
    rig.sample(studio.model, studio.positive, studio.negative, steps=1, cfg=1.0)
    for handle in handles:
        handle.remove()
    executed = []
    for name in order:
        stage, *path = name.split(".")
        part = stage.removesuffix("_blocks").removesuffix("_block")
        index = 0 if part == "middle" else int(path[0])
        executed.append((part, index, int(path[path.index("transformer_blocks") + 1])))
    assert [block.key for block in layout_of(unet).blocks] == executed
