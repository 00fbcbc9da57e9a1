"""What each word did, against leaving it out and evaluating the model by hand; and the path of a sampling that it needs."""

import comfy.hooks
import nodes
import pytest
import rig
import torch
from comfy_extras import nodes_clip_sdxl, nodes_hooks
from effect_rig import LATENT, PROMPT, estimate, recorded, text

from hrv_pack.host.effect import word_effects as module
from hrv_pack.host.effect.word_effects import Question, word_effects
from hrv_pack.host.follow.recorder import RecordOptions, attach
from hrv_pack.host.store.demo_checkpoint import load
from hrv_pack.host.text.typed_texts import CannotEncode
from hrv_pack.hrv.effect.effect import IDLE
from hrv_pack.hrv.look.tiles import Style
from hrv_pack.hrv.look.word_effect_page import show_effects
from hrv_pack.hrv.prompt import WordNotFound
from hrv_pack.hrv.recording.recording import NoRecording


@pytest.fixture(scope="module")
def demo():
    return load()


@pytest.fixture(scope="module")
def scene(demo):
    """(model, clip, recording, latent) of one image, 6 steps."""
    return recorded(demo, steps=6)


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
    """Of each step kept: Σ over channels of the squared change."""
    model, clip, _ = demo
    changes = []
    for step in scene[2].runs[0].path.chosen(3):
        whole, part = (estimate(model, text(clip, words), step) for words in (PROMPT, without))
        changes.append((whole - part).square().sum(1)[0])
    return changes


def test_effect_is_that_of_the_plainest_computation(demo, scene):
    found = ask(scene, words="red, star, sand").effects[0]
    total = sum(float(change.mean()) ** 0.5 for change in by_hand(demo, scene, ""))
    for name, left in (
        ("red", "a large star on sand"),
        ("star", "a large red on sand"),
        ("sand", "a large red star on"),
    ):
        changes, place = by_hand(demo, scene, left), found.names.index(name)
        share = sum(float(change.mean()) ** 0.5 for change in changes) / total
        assert float(found.shares[place]) == pytest.approx(share, rel=1e-3)
        heat = sum(change.sqrt() for change in changes) / total
        assert torch.allclose(found.maps[place], heat.float(), rtol=1e-3, atol=1e-5)


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


def moved(demo, steps, one: str, other: str) -> float:
    """Σ over the steps of how far the estimate lies apart for two texts."""
    apart = 0.0
    for step in steps:
        first, second = (estimate(demo[0], text(demo[1], words), step) for words in (one, other))
        apart += float((first - second).square().sum(1).mean()) ** 0.5
    return apart


def test_weights_go_with_their_word(demo):
    """(red:1.4) left out is the prompt without it; exchanged, the other word has its weight."""
    typed = "a (red:1.4) star, sand"
    scene = recorded(demo, positive=lambda clip: text(clip, typed))
    steps = scene[2].runs[0].path.chosen(3)
    total = moved(demo, steps, typed, "")
    for instead, other in (("", "a star, sand"), ("blue", "a (blue:1.4) star, sand")):
        found = ask(scene, words="red", instead=instead).effects[0]
        assert float(found.shares[0]) == pytest.approx(moved(demo, steps, typed, other) / total, rel=1e-3)


def test_the_negative_prompt_is_asked_by_its_own_words(demo):
    scene = recorded(demo, negative=lambda clip: text(clip, "green fish, snow"))
    found = ask(scene, words="fish", role="negative").effects[0]
    steps = scene[2].runs[0].path.chosen(3)
    whole = moved(demo, steps, "green fish, snow", "")
    part = moved(demo, steps, "green fish, snow", "green, snow")
    assert float(found.shares[0]) == pytest.approx(part / whole, rel=1e-3)


def test_prompts_put_together(demo):
    """ConditioningConcat: the words of both are asked, and the columns of the other stay as they are."""

    def both(clip):
        return nodes.ConditioningConcat().concat(text(clip, "a red star"), text(clip, "blue fish"))[0]

    scene = recorded(demo, positive=both)
    model, clip, _ = demo
    found = ask(scene).effects[0]
    assert found.names == ("red", "star", "blue", "fish")
    step, *_ = scene[2].runs[0].path.chosen(1)
    (without,) = nodes.ConditioningConcat().concat(text(clip, "a red star"), text(clip, "fish"))
    change = (estimate(model, both(clip), step) - estimate(model, without, step)).square().sum(1)[0].sqrt()
    found = ask(scene, words="blue", moments=1).effects[0]
    assert torch.allclose(
        found.maps[0] / found.maps[0].mean(), change.float() / float(change.mean()), rtol=1e-2, atol=1e-4
    )


def test_a_part_that_is_not_known_stays(demo):
    plain = demo[1]
    scene = recorded(
        demo,
        positive=lambda clip: nodes.ConditioningConcat().concat(text(clip, PROMPT), text(plain, "fish"))[0],
    )
    found = ask(scene)
    assert found.names == ["large", "red", "star", "sand"] and any(
        "stay as they were" in w for w in found.warnings
    )


def test_a_text_encoder_that_changes_along_the_schedule(demo):
    """Hooks on the CLIP: one conditioning for each part of the schedule, each encoded again in its own way."""
    weights = {}
    for key, weight in demo[1].patcher.model.state_dict().items():
        if key.endswith("layers.0.mlp.fc2.weight") and "clip_l" in key:
            weights[key.replace("clip_l.", "").replace(".weight", "")] = weight
    hooks = comfy.hooks.create_hook_lora(
        {
            f"clip_l.{name}.{part}.weight": tensor
            for name, weight in weights.items()
            for part, tensor in (
                ("lora_up", torch.randn(weight.shape[0], 2, generator=torch.Generator().manual_seed(1))),
                ("lora_down", torch.randn(2, weight.shape[1], generator=torch.Generator().manual_seed(2))),
            )
        },
        0.0,
        1.0,
    )
    keyframes = comfy.hooks.HookKeyframeGroup()
    for strength, start in ((0.0, 0.0), (1.0, 0.1)):
        keyframes.add(comfy.hooks.HookKeyframe(strength=strength, start_percent=start))
    hooks.set_keyframes_on_hooks(hook_kf=keyframes)
    (hooked,) = nodes_hooks.SetClipHooks().apply_hooks(demo[1], True, False, hooks)
    scene = recorded((demo[0], hooked))
    conds = scene[2].runs[0].path.conds["positive"]
    assert len(conds) == 2
    assert float(ask(scene, words="red", instead="red").effects[0].shares[0]) == 0
    assert float(ask(scene, words="red").effects[0].shares[0]) > 0


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
