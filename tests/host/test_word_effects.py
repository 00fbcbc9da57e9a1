"""What each word did, against leaving it out and evaluating the model by hand; and the path of a sampling that it needs."""

import functools

import comfy.hooks
import comfy.samplers
import nodes
import pytest
import rig
import torch
from comfy_extras import nodes_clip_sdxl, nodes_hooks, nodes_perpneg
from comfy_extras.nodes_custom_sampler import Guider_DualCFG
from effect_rig import CFG, LATENT, PROMPT, guided, moved, recorded, size, text

from hrv_pack.host.effect import word_effects as module
from hrv_pack.host.effect.word_effects import Question, word_effects
from hrv_pack.host.follow import path_notes
from hrv_pack.host.follow.recorder import RecordOptions, attach
from hrv_pack.host.store.demo_checkpoint import load
from hrv_pack.host.text.typed_texts import CannotEncode
from hrv_pack.hrv.effect.effect import IDLE
from hrv_pack.hrv.look.tiles import Style
from hrv_pack.hrv.look.word_effect_page import show_effects
from hrv_pack.hrv.prompt import WordNotFound
from hrv_pack.hrv.recording.recording import NoRecording

NEAR = {"rtol": 2e-2, "atol": 2e-2} if rig.ON_GPU else {"rtol": 1e-3, "atol": 1e-4}
"""On a card the demo model runs in half precision."""


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
    assert sorted(run.path.steps) == [0, 1, 2, 3] and run.path.nbytes == 4 * LATENT["samples"].nbytes


def by_hand(demo, scene, one: str, other: str, negative: tuple[str, str] = ("", "")) -> torch.Tensor:
    """How far the latent moves, (channel, height, width), from a prompt (and a negative one) to another."""
    model, clip, _ = demo
    before, after = (
        functools.partial(guided, model, text(clip, words), text(clip, against))
        for words, against in zip((one, other), negative, strict=True)
    )
    return moved(scene[2].runs[0].path.chosen(3), before, after)


def test_effect_is_that_of_the_plainest_computation(demo, scene):
    found = ask(scene, words="red, star, sand").effects[0]
    total = size(by_hand(demo, scene, PROMPT, ""))
    for name, left in (
        ("red", "a large star on sand"),
        ("star", "a large red on sand"),
        ("sand", "a large red star on"),
    ):
        apart, place = by_hand(demo, scene, PROMPT, left), found.names.index(name)
        assert float(found.shares[place]) == pytest.approx(size(apart) / total, rel=NEAR["rtol"])
        heat = apart.square().sum(0).sqrt() / total
        assert torch.allclose(found.maps[place], heat.float(), **NEAR)


def test_with_every_step_it_is_the_difference_of_two_samplings(demo, monkeypatch):
    """Euler's steps are those of the measure."""
    monkeypatch.setattr(path_notes, "kept_of", lambda sigmas, highest: set(range(len(sigmas))))
    scene = recorded(demo, steps=5)
    assert len(scene[2].runs[0].path.steps) == 5
    model, clip, _ = demo
    negative = text(clip, "")
    for name, left in (("red", "a large star on sand"), ("star", "a large red on sand")):
        again = rig.sample(model, text(clip, left), negative, LATENT, seed=1, steps=5, cfg=CFG)
        apart = model.model.process_latent_in(again) - model.model.process_latent_in(scene[3])
        found = ask(scene, words=name, moments=6).effects[0]
        assert float(found.shares[0]) * found.whole == pytest.approx(size(apart[0]), rel=1e-2)
        heat = apart[0].square().sum(0).sqrt() / found.whole
        assert torch.allclose(found.maps[0], heat, rtol=0.05, atol=0.01 * float(heat.max()))


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
    sand = ask(scene, words="sand", moments=1).effects[0]
    right, left = sand.maps[0, :, 18:], sand.maps[0, :, :14]
    assert float(right.mean()) > 5 * float(left.mean())  # where its area is; later steps carry it on
    assert ask(scene, role="negative").names == ["green", "fish"]


def test_weights_go_with_their_word(demo):
    """(red:1.4) left out is the prompt without it; exchanged, the other word has its weight."""
    typed = "a (red:1.4) star, sand"
    scene = recorded(demo, positive=lambda clip: text(clip, typed))
    total = size(by_hand(demo, scene, typed, ""))
    for instead, other in (("", "a star, sand"), ("blue", "a (blue:1.4) star, sand")):
        found = ask(scene, words="red", instead=instead).effects[0]
        share = size(by_hand(demo, scene, typed, other)) / total
        assert float(found.shares[0]) == pytest.approx(share, rel=1e-3)


def test_the_negative_prompt_is_asked_by_its_own_words(demo):
    scene = recorded(demo, negative=lambda clip: text(clip, "green fish, snow"))
    found = ask(scene, words="fish", role="negative").effects[0]
    whole, part = (
        size(by_hand(demo, scene, PROMPT, PROMPT, ("green fish, snow", left))) for left in ("", "green, snow")
    )
    assert float(found.shares[0]) == pytest.approx(part / whole, rel=1e-3)


def test_inpainting_moves_nothing_outside_its_mask(demo):
    mask = torch.zeros(1, 256, 256)
    mask[:, :, 128:] = 1.0
    scene = recorded(demo, latent=LATENT | {"noise_mask": mask})
    found = ask(scene, words="star").effects[0]
    assert not found.maps[0, :, :15].any() and bool((found.maps[0, :, 17:] > 0).all())


@pytest.mark.parametrize("kind", ["DualCFG", "PerpNeg"])
def test_guiders_of_other_kinds(demo, kind):
    """Two guidances are asked as they were; a guider that cannot bear two equal prompts is taken for plain CFG."""
    model, traced, recording = attach(*demo[:2], RecordOptions())
    prompts = (text(traced, words) for words in (PROMPT, "green", ""))
    guider = (Guider_DualCFG if kind == "DualCFG" else nodes_perpneg.Guider_PerpNeg)(model)
    guider.set_conds(*prompts)
    guider.set_cfg(CFG, 0.8)
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", 4)
    noise = torch.randn(LATENT["samples"].shape, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        drawn = guider.sample(
            noise, LATENT["samples"], comfy.samplers.ksampler("euler"), sigmas, disable_pbar=True
        )
    guidance = recording.runs[0].path.guidance
    if kind == "DualCFG":
        assert guidance.kind is Guider_DualCFG
        assert dict(guidance.settings) == {"cfg": 1.0, "cfg1": CFG, "cfg2": 0.8, "nested": False}
    else:
        assert guidance.kind is comfy.samplers.CFGGuider and dict(guidance.settings) == {"cfg": CFG}
    found = ask((model, traced, recording, drawn)).effects[0]
    assert bool((found.shares > 0).all()) and bool((found.shares < 2).all())


def test_prompts_put_together(demo):
    """ConditioningConcat: the words of both are asked, and the columns of the other stay as they are."""

    def both(clip):
        return nodes.ConditioningConcat().concat(text(clip, "a red star"), text(clip, "blue fish"))[0]

    scene = recorded(demo, positive=both)
    model, clip, _ = demo
    found = ask(scene).effects[0]
    assert found.names == ("red", "star", "blue", "fish")
    (without,) = nodes.ConditioningConcat().concat(text(clip, "a red star"), text(clip, "fish"))
    before, after = (functools.partial(guided, model, one, text(clip, "")) for one in (both(clip), without))
    apart = moved(scene[2].runs[0].path.chosen(3), before, after).square().sum(0).sqrt()
    found = ask(scene, words="blue").effects[0]
    assert torch.allclose(
        found.maps[0] / found.maps[0].mean(),
        (apart / apart.mean()).float(),
        rtol=10 * NEAR["rtol"],
        atol=10 * NEAR["atol"],
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
