"""What a model change did, against evaluating both models by hand."""

import functools

import comfy.sd
import comfy.utils
import effect_rig
import nodes
import pytest
import rig
import stand_in_models
import torch
from effect_rig import PROMPT, guided, moved, size, text
from test_ways_models import other  # noqa: F401

from hrv_pack.host.effect.model_effects import model_effects
from hrv_pack.host.facts import paths
from hrv_pack.host.follow.recorder import RecordOptions, attach
from hrv_pack.host.store.demo_checkpoint import load
from hrv_pack.hrv.effect.effect import spread
from hrv_pack.hrv.look.model_effect_page import show_change
from hrv_pack.hrv.look.tiles import Style
from hrv_pack.hrv.recording.recording import NoRecording

LORA = paths.DATA / "demo" / "loras" / "hrv_demo_sticker.safetensors"


@pytest.fixture(scope="module")
def demo():
    return load()


@pytest.fixture(scope="module")
def scene(demo):
    return effect_rig.recorded(demo, steps=6)


def with_lora(model, strength: float):
    return comfy.sd.load_lora_for_models(model, None, comfy.utils.load_torch_file(str(LORA)), strength, 0)[0]


def changes(scene, other_model, latent=None, **instead):
    model, _, recording, own = scene
    latent = own if latent is None else latent
    return model_effects(
        model, other_model, recording, latent, instead=instead, moments=3, progress=lambda done, total: None
    ).changes


def test_the_same_model_changes_exactly_nothing(demo, scene):
    for same in (demo[0], demo[0].clone(), scene[0], with_lora(demo[0], 0.0)):
        (found,) = changes(scene, same)
        assert found.amount == 0 and not found.map.any() and set(found.by_moment) == {0}
    page = show_change([found], scene[2], scene[3], None, Style())
    assert page.text == "This change does nothing in this image."
    assert not page.heat.any() and not page.mask.any()


def test_change_is_that_of_the_plainest_computation(demo, scene):
    model, traced, recording, _ = scene
    changed, positive, negative = with_lora(demo[0], 1.0), text(traced, PROMPT), text(traced, "")
    before, after = (functools.partial(guided, m, positive, negative) for m in (demo[0], changed))
    steps = recording.runs[0].path.chosen(3)
    apart = moved(steps, before, after)
    made = before(steps[-1].x, steps[-1].sigma)[0]
    own = sum(float(((c - c.mean()) ** 2).mean()) for c in made)
    (found,) = changes(scene, changed)
    assert found.amount == pytest.approx(size(apart) / own**0.5, rel=1e-3)
    assert torch.allclose(found.map, (apart.square().sum(0) / own).sqrt().float(), rtol=1e-2, atol=1e-4)
    first = (after(steps[0].x, steps[0].sigma) - before(steps[0].x, steps[0].sigma))[0]
    varies = spread(before(steps[0].x, steps[0].sigma)[0])
    assert (
        found.by_moment[0] == pytest.approx(size(first) / varies**0.5, rel=1e-3) and len(found.by_moment) == 3
    )


def test_a_stronger_lora_changes_more_around_its_thing(demo, scene):
    """Ten strengths of the demo LoRA, which puts a border around things."""
    found = [changes(scene, with_lora(demo[0], strength / 10))[0] for strength in range(1, 11)]
    amounts = [one.amount for one in found]
    assert amounts == sorted(amounts) and amounts[0] > 0
    page = show_change(found[-1:], scene[2], scene[3], torch.rand(1, 256, 256, 3), Style())
    assert "most around" in page.text and "“star”" in page.text
    assert page.overlay.shape[2] == 256 and 0 < float(page.mask.mean()) < 0.5


def test_conditionings_that_differ(demo):
    """A ControlNet, and another prompt: the model is the same."""
    studio_model = rig.tiny("sd1")
    recorded, traced, recording = attach(studio_model, rig.clip("sd1"), RecordOptions())
    positive, negative = (rig.encode(traced, words) for words in ("a red cat", "blue"))
    latent = rig.sample(recorded, positive, negative, rig.empty(), steps=4)
    scene = recorded, traced, recording, latent
    hint = torch.rand(1, 128, 192, 3, generator=torch.Generator().manual_seed(1))
    net = stand_in_models.control_net(rig.CONFIG["sd1"])
    (controlled,) = nodes.ControlNetApply().apply_controlnet(positive, net, hint, 1.0)
    assert changes(scene, studio_model, positive=positive)[0].amount == 0
    moved = changes(scene, studio_model, positive=controlled)[0].amount
    assert moved > 0
    assert changes(scene, studio_model, positive=positive, negative=negative)[0].amount == 0
    assert changes(scene, studio_model, positive=positive, negative=rig.encode(traced, "green"))[0].amount > 0


def test_images_of_a_batch_and_parts_of_it(demo):
    scene = effect_rig.recorded(demo, latent={"samples": torch.zeros(2, 4, 32, 32)})
    changed = with_lora(demo[0], 1.0)
    first, second = changes(scene, changed)
    assert not torch.equal(first.map, second.map)
    (alone,) = changes(scene, changed, latent=scene[3][1:])
    assert torch.equal(alone.map, second.map)


@pytest.mark.parametrize("other", ["Flux"], indirect=True)
def test_a_model_that_is_no_unet(other):  # noqa: F811
    model, _, latent = other
    recorded, clip, recording = attach(model, rig.clip("sd1"), RecordOptions())
    positive = rig.encode(clip, "a red star, sand")
    drawn = rig.sample(recorded, positive, rig.encode(clip, ""), latent, steps=4)
    changed = model.clone()
    key = next(k for k in model.model.state_dict() if k.endswith("img_attn.qkv.weight"))
    changed.add_patches({key: (torch.randn_like(model.model.state_dict()[key]),)})
    scene = recorded, clip, recording, drawn
    assert changes(scene, model)[0].amount == 0 and changes(scene, changed)[0].amount > 0


def test_what_cannot_be_answered_says_so(demo, scene):
    with pytest.raises(ValueError, match="different kinds"):
        changes(scene, rig.tiny("sd1"))
    (run,) = scene[2].runs
    run.path, kept = None, run.path
    try:
        with pytest.raises(NoRecording, match="Sample it again"):
            changes(scene, demo[0])
    finally:
        run.path = kept


def test_a_cancel_ends_it(demo, scene):
    def stop(done, total):
        raise KeyboardInterrupt

    model, _, recording, latent = scene
    with pytest.raises(KeyboardInterrupt):
        model_effects(model, demo[0], recording, latent, instead={}, moments=3, progress=stop)


def test_the_demo_lora_is_small_and_plain():
    tensors = comfy.utils.load_torch_file(str(LORA))
    assert LORA.stat().st_size < 2**20 and all(bool(tensor.isfinite().all()) for tensor in tensors.values())
