"""What each word did, against leaving it out and evaluating the model by hand; and the path of a sampling that it needs."""

import comfy.sampler_helpers
import comfy.samplers
import nodes
import pytest
import rig
import torch
from comfy_extras import nodes_clip_sdxl

from hrv_pack.host.effect import word_effects as module
from hrv_pack.host.effect.word_effects import Question, word_effects
from hrv_pack.host.follow.recorder import RecordOptions, attach
from hrv_pack.host.store.demo_checkpoint import load
from hrv_pack.host.text.typed_texts import CannotEncode
from hrv_pack.hrv.look.tiles import Style
from hrv_pack.hrv.look.word_effect_page import IDLE, show_effects
from hrv_pack.hrv.prompt import WordNotFound
from hrv_pack.hrv.recording.recording import NoRecording

LATENT = {"samples": torch.zeros(1, 4, 32, 32)}
PROMPT = "a large red star on sand"


@pytest.fixture(scope="module")
def demo():
    return load()


@pytest.fixture(scope="module")
def scene(demo):
    """(model, clip, recording, latent) of one image, 6 steps."""
    model, clip, _ = demo
    recorded, traced, recording = attach(model, clip, RecordOptions())
    positive, negative = (nodes.CLIPTextEncode().encode(traced, text)[0] for text in (PROMPT, ""))
    latent = rig.sample(recorded, positive, negative, LATENT, seed=1, steps=6, cfg=4.0)
    return recorded, traced, recording, latent


def ask(scene, latent=None, **question):
    model, clip, recording, own = scene
    asked = Question(**question)
    return word_effects(
        model, clip, recording, own if latent is None else latent, asked, progress=lambda done, total: None
    )


def test_the_image_is_the_same_to_the_bit_and_the_path_is_small(demo, scene):
    model, clip, _ = demo
    positive, negative = (nodes.CLIPTextEncode().encode(clip, text)[0] for text in (PROMPT, ""))
    plain = rig.sample(model, positive, negative, LATENT, seed=1, steps=6, cfg=4.0)
    _, _, recording, latent = scene
    (run,) = recording.runs
    assert torch.equal(plain, latent)
    assert sorted(run.path.steps) == [0, 1, 2] and run.path.nbytes == 3 * LATENT["samples"].nbytes


def by_hand(demo, scene, without: str) -> list[torch.Tensor]:
    """Of each step kept: Σ over channels of the squared change, by the host's own guider at CFG 1."""
    model, clip, _ = demo
    _, _, recording, _ = scene
    changes = []
    for step in recording.runs[0].path.chosen(3):
        made = []
        for text in (PROMPT, without):
            conds = comfy.sampler_helpers.convert_cond(nodes.CLIPTextEncode().encode(clip, text)[0])
            guider = comfy.samplers.CFGGuider(model)
            guider.original_conds = {"positive": conds, "negative": conds}

            class Once:
                def sample(self, guider, sigmas, extra, callback, noise, *rest, step=step, made=made):
                    made.append(guider(step.x, step.sigma, **extra).double())
                    return noise

            guider.set_cfg(1.0)
            with torch.inference_mode():
                guider.sample(
                    torch.zeros_like(step.x),
                    torch.zeros_like(step.x),
                    Once(),
                    torch.tensor([1.0, 0.0]),
                    disable_pbar=True,
                )
        changes.append((made[0] - made[1]).square().sum(1)[0])
    return changes


def test_effect_is_that_of_the_plainest_computation(demo, scene):
    found = ask(scene, words="red, star, sand").effects[0]
    whole = by_hand(demo, scene, "")
    for name, left in (
        ("red", "a large star on sand"),
        ("star", "a large red on sand"),
        ("sand", "a large red star on"),
    ):
        changes = by_hand(demo, scene, left)
        place, total = found.names.index(name), sum(float(w.mean()) for w in whole)
        assert float(found.shares[place]) == pytest.approx(
            sum(float(c.mean()) for c in changes) / total, rel=1e-3
        )
        heat = sum(changes) / total
        assert torch.allclose(found.maps[place], heat.float(), rtol=1e-3, atol=1e-6)


def test_every_word_sorted_with_what_can_go(scene):
    found = ask(scene)
    assert found.names == ["large", "red", "star", "sand"] == list(found.effects[0].names)
    image = torch.rand(1, 256, 256, 3)
    page = show_effects(found.effects, scene[3], image, Style())
    shares = dict(zip(found.effects[0].names, found.effects[0].shares.tolist(), strict=True))
    assert page.words == sorted(shares, key=lambda name: -shares[name])
    assert page.overlay.shape[0] == 4 and page.heat.shape == page.mask.shape == (4, 256, 256)
    assert all((name in page.text.partition("can go")[2]) == (share < IDLE) for name, share in shares.items())


def test_replacing_a_word_by_itself_changes_nothing(scene):
    found = ask(scene, words="red", instead="red").effects[0]
    assert float(found.shares[0]) == 0 and not found.maps.any()
    assert float(ask(scene, words="red", instead="blue").effects[0].shares[0]) > IDLE


def test_two_texts_areas_and_the_negative_prompt(demo):
    model, clip, _ = demo
    recorded, traced, recording = attach(model, clip, RecordOptions())
    with torch.inference_mode():
        both = nodes_clip_sdxl.CLIPTextEncodeSDXL.execute(
            traced, 256, 256, 0, 0, 256, 256, "a red star", "a blue fish"
        ).result[0]
    (right,) = nodes.ConditioningSetArea().append(
        nodes.CLIPTextEncode().encode(traced, "sand")[0], 128, 256, 128, 0, 1.0
    )
    (positive,) = nodes.ConditioningCombine().combine(both, right)
    (negative,) = nodes.CLIPTextEncode().encode(traced, "green fish")
    latent = rig.sample(recorded, positive, negative, LATENT, seed=1, steps=4, cfg=4.0)
    scene = recorded, traced, recording, latent
    assert set(ask(scene).names) == {"red", "star", "blue", "fish", "sand"}
    sand = ask(scene, words="sand").effects[0]
    right, left = sand.maps[0, :, 18:], sand.maps[0, :, :14]
    assert float(right.mean()) > 5 * float(left.mean())  # where its area is
    assert ask(scene, role="negative").names == ["green", "fish"]


def test_images_of_a_batch_and_parts_of_it(demo):
    model, clip, _ = demo
    recorded, traced, recording = attach(model, clip, RecordOptions())
    positive, negative = (nodes.CLIPTextEncode().encode(traced, text)[0] for text in (PROMPT, ""))
    latent = rig.sample(
        recorded, positive, negative, {"samples": torch.zeros(2, 4, 32, 32)}, seed=1, steps=4, cfg=4.0
    )
    scene = recorded, traced, recording, latent
    first, second = ask(scene, words="star").effects
    assert not torch.equal(first.maps, second.maps)
    assert torch.equal(ask(scene, latent[1:], words="star").effects[0].maps, second.maps)


def test_what_cannot_be_answered_says_so(demo, scene):
    model, clip, recording, latent = scene
    with pytest.raises(WordNotFound, match="“dragon” is not in the prompt"):
        ask(scene, words="dragon")
    recording.runs[0].path, kept = None, recording.runs[0].path
    try:
        with pytest.raises(NoRecording, match="Sample it again"):
            ask(scene)
    finally:
        recording.runs[0].path = kept
    plain = demo[1]
    recorded, _, recording = attach(demo[0], plain, RecordOptions())
    positive, negative = (nodes.CLIPTextEncode().encode(plain, text)[0] for text in (PROMPT, ""))
    latent = rig.sample(recorded, positive, negative, LATENT, seed=1, steps=2, cfg=4.0)
    with pytest.raises(CannotEncode, match="is not known"):
        ask((recorded, plain, recording, latent))


def test_words_in_groups_are_the_same(scene, monkeypatch):
    """Few embeddings lie in memory at a time, however many words there are."""
    whole = ask(scene).effects[0]
    monkeypatch.setattr(module, "GROUP", 3)
    parts = ask(scene).effects[0]
    assert parts.names == whole.names and torch.allclose(parts.shares, whole.shares, rtol=1e-3, atol=1e-6)


def test_a_run_that_could_not_be_followed_says_why(scene):
    run = scene[2].runs[0]
    kept, run.path = run.path, None
    run.warnings.append("This model is compiled.")
    try:
        with pytest.raises(NoRecording, match="This model is compiled"):
            ask(scene)
    finally:
        run.warnings.pop()
        run.path = kept


def test_a_cancel_ends_it(scene):
    model, clip, recording, latent = scene

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        word_effects(model, clip, recording, latent, Question(), progress=stop)
