"""Defects of other attention recorders, each with a test that fails on their behaviour."""

import math
import sys

import comfy.model_management
import nodes
import pytest
import rig
import safetensors.torch
import torch
import torch.nn.functional as F

from hrv_pack.host.follow import capture
from hrv_pack.hrv.recording import sums as accumulate


def draw(studio, model=None, **options):
    return rig.sample(model or studio.recorded, studio.positive, studio.negative, **{"steps": 1, **options})


@pytest.mark.parametrize("batch", [2, 3, 5])
def test_1_maps_are_not_counted_over_all_pictures(batch):
    """Theirs flushed a step after a fixed number of maps: from batch 3 on, steps were ragged and could not be
    stacked."""
    studio = rig.studio()
    latent = draw(studio, steps=3, latent=rig.empty(batch, 8, 8))
    entry = rig.entry(studio.recording)
    assert entry.count() == 3 and {m.shape[0] for m in entry.maps.values()} == {batch}
    assert [m.element for m in studio.recording.match(latent)] == list(range(batch))


def guessed(pixels: int, height: int, width: int) -> tuple[int, int]:
    """The grid as others guess it: the latent's, divided by a whole number that the pixels suggest."""
    factor = math.isqrt(height * width // pixels)
    return height // factor, width // factor


@pytest.mark.parametrize("size", [(11, 31), (21, 13), (31, 37), (9, 40)], ids=str)
def test_2_the_grid_is_measured_not_guessed(size):
    studio = rig.studio()
    draw(studio, latent=rig.empty(1, *size), cfg=1.0)
    halves = [tuple(-(-n // 2**i) for n in size) for i in (1, 2)]
    assert {tuple(m.shape[-2:]) for m in rig.entry(studio.recording).maps.values()} == set(halves)
    assert any(guessed(h * w, *size) != (h, w) for h, w in halves), "a size where guessing fails"


def test_3_the_shared_model_is_not_patched():
    """Theirs replaced forwards of the shared model and, after a cancel, never put them back."""
    studio = rig.studio()
    unet = studio.model.model.diffusion_model
    before = {name: dict(vars(module)) for name, module in unet.named_modules()}

    def cancel(apply_model, args):
        comfy.model_management.interrupt_current_processing(True)
        comfy.model_management.throw_exception_if_processing_interrupted()

    cancelled = studio.recorded.clone()
    cancelled.set_model_unet_function_wrapper(cancel)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        draw(studio, cancelled)
    for name, module in unet.named_modules():
        assert vars(module).keys() == before[name].keys(), name
        assert not module._forward_hooks and not module._forward_pre_hooks
    assert studio.model.model_options == {"transformer_options": {}} and not studio.model.wrappers
    draw(studio, studio.model)
    assert studio.recording.runs == []


def test_4_attention_replacements_are_not_overwritten():
    """Theirs switched IPAdapter off while recording."""
    studio = rig.studio()
    called = []

    def image_adapter(q, k, v, extra_options):
        called.append(extra_options["block"])
        return torch.zeros_like(q)

    clone = studio.recorded.clone()
    for key in (("middle", 0, 0), ("output", 3, 0)):
        clone.set_model_attn2_replace(image_adapter, *key)
    assert not torch.equal(draw(studio, clone), draw(studio))
    assert called == [("middle", 0), ("output", 3)]


def test_5_no_interpolation_and_no_copy_while_sampling(monkeypatch):
    """Theirs resized every token's map of every layer and step, and copied each to the CPU."""
    studio = rig.studio(positive="a red cat on a mat, a blue dog in a hat, " * 3)
    resizes, copies = [], []
    interpolate, to = F.interpolate, torch.Tensor.to

    def counted_interpolate(*args, **kwargs):
        if sys._getframe(1).f_globals["__name__"].startswith("hrv_pack"):
            resizes.append(1)
        return interpolate(*args, **kwargs)

    def counted_to(*args, **kwargs):
        if sys._getframe(1).f_globals["__name__"] in (capture.__name__, accumulate.__name__):
            copies.append(1)
        return to(*args, **kwargs)

    monkeypatch.setattr(F, "interpolate", counted_interpolate)
    monkeypatch.setattr(torch.Tensor, "to", counted_to)
    draw(studio, steps=4)
    layers = len(studio.recording.layout.blocks)
    assert resizes == []
    assert (
        len(copies) <= 4 * layers + layers
    )  # a move to the sums' own device is none; then one to rest per layer


def test_6_any_list_of_prompts():
    """Theirs understood [0], [1] or two entries: regional or combined prompts gave no maps or swapped ones."""
    studio = rig.studio(record_negative=True)
    parts = [rig.encode(studio.clip, text) for text in ("a cat", "two dogs", "three birds " * 40)]
    (left,) = nodes.ConditioningSetArea().append(parts[1], 96, 128, 0, 0, 1.0)
    combined = parts[0] + left + parts[2]
    negative = rig.encode(studio.clip, "ugly") + rig.encode(studio.clip, "bad")
    with rig.watch(studio.model) as calls:
        rig.sample(studio.recorded, combined, negative, steps=1)
    run = rig.last_run(studio.recording)
    found = [(e.role, e.index, e.prompt.words()[-1].text, [e.count()]) for e in run.entries]
    assert found == [
        ("positive", 0, "cat", [1]),
        ("positive", 1, "dogs", [1]),
        ("positive", 2, "birds", [1]),
        ("negative", 0, "ugly", [1]),
        ("negative", 1, "bad", [1]),
    ]
    for number, prompt in ((0, parts[0]), (2, parts[2]), (3, negative[:1]), (4, negative[1:])):
        rig.assert_maps(run.entries[number], calls, run.layout, prompt[0][0], tolerance=1e-3, size=(16, 24))


def test_6_positive_maps_are_never_stored_as_negative():
    """A positive area is copied into the negative list with the same name and the negative's embedding."""
    studio = rig.studio(record_negative=True)
    (area,) = nodes.ConditioningSetArea().append(studio.positive, 96, 128, 0, 0, 1.0)
    rig.sample(studio.recorded, area, studio.negative, steps=1)
    run = rig.last_run(studio.recording)
    assert [(e.role, e.prompt.text, [e.count()]) for e in run.entries] == [
        ("positive", "a red cat on a mat", [1]),
        ("negative", "ugly", [1]),
    ]


def test_7_textual_inversions(tmp_path, monkeypatch):
    """Theirs compared an embedding vector with a token id and crashed."""
    studio = rig.studio()
    monkeypatch.setattr(studio.clip.tokenizer.clip_l, "embedding_directory", [str(tmp_path)])
    safetensors.torch.save_file({"emb": torch.randn(2, rig.WIDTH["sdxl"])}, tmp_path / "mood.safetensors")
    rig.sample(studio.recorded, rig.encode(studio.clip, "embedding:mood cat"), studio.negative, steps=1)
    assert rig.entry(studio.recording).prompt.find("cat").columns == (3,)


def test_8_values_of_words_can_be_compared():
    """Theirs scaled every word by itself; what is kept here are probabilities that add up to one."""
    model, encoder = rig.tiny("sdxl"), rig.clip("sdxl")
    recorded, _, recording = rig.attach(model, None, rig.RecordOptions())
    rig.sample(recorded, rig.encode(encoder, "a cat"), rig.encode(encoder, ""), steps=2)
    for maps in rig.entry(recording).maps.values():
        assert torch.allclose(maps.float().sum((1, 3)), torch.tensor(2.0), atol=5e-3)


@pytest.mark.parametrize(("cfg", "batch"), [(1.0, 2), (7.0, 2)])
def test_9_no_head_is_taken_for_the_unconditional_half(cfg, batch):
    """Theirs dropped half of the head axis, also without guidance (Turbo, LCM)."""
    studio = rig.studio()
    draw(studio, cfg=cfg, latent=rig.empty(batch), sampler="lcm")
    entry = rig.entry(studio.recording)
    heads = sum(m.shape[2] for m in entry.maps.values())
    assert heads == studio.recording.layout.heads == 116
    assert all(m.float().amax((1, 3, 4, 5)).min() > 0 for m in entry.maps.values())


def test_10_recordings_do_not_mix():
    """Theirs kept all runs in one dictionary of the module."""
    one, two = rig.studio(positive="a cat"), rig.studio(positive="two dogs")
    first, second = draw(one, seed=1), draw(two, seed=2)
    assert (len(one.recording.runs), len(two.recording.runs)) == (1, 1)
    assert rig.entry(one.recording).prompt.text == "a cat"
    assert "The only image of this size" in one.recording.match(second)[0].note
    assert [s.recording.match(x)[0].exact for s, x in ((one, first), (two, second))] == [True, True]
