"""NegPip: two vectors in the conditioning for each token of the text, keys from the first of each pair, values from the second.

What is recorded are the keys, which are the prompt's columns. Case D7.
"""

import pytest
import rig
import stand_ins
import steering_rig as steered
import torch

from hrv_pack.host.follow.steerer import steer
from hrv_pack.host.text.clip_trace import TextRegistry, trace
from hrv_pack.hrv.look.heatmap import heatmaps

LONG = "ugly, " * 60  # two chunks, so that the host repeats the other prompt


def in_pairs(clip):
    """Like NegPip's text encoder: each token's vector for keys, then another for values."""
    encoder = clip.cond_stage_model.clip_l

    def encode_token_weights(pairs):
        vectors, *more = type(encoder).encode_token_weights(encoder, pairs)
        return torch.stack([vectors, 0.5 * vectors.flip(-1)], 2).flatten(1, 2), *more

    clone = clip.clone()
    clone.patcher.add_object_patch("clip_l.encode_token_weights", encode_token_weights)
    return clone


def negpip(model):
    clone = model.clone()
    clone.set_model_attn2_patch(lambda n, context, value, extra: (n, context[:, 0::2], value[:, 1::2]))
    return clone


def studio_of(negative: str = "ugly", order: str = "after") -> rig.Studio:
    """Prompts encoded in pairs, by a CLIP that went through Record Attention before NegPip, or after."""
    studio = rig.studio(record_negative=True)
    clip = in_pairs(studio.clip) if order == "after" else in_pairs(rig.clip("sdxl"))
    if order == "before":
        _, clip, studio.recording = rig.attach(studio.model, clip, rig.RecordOptions())
        studio.recorded, clip, studio.recording = rig.attach(
            studio.model, clip, rig.RecordOptions(negative=True)
        )
    studio.positive, studio.negative = (
        rig.encode(clip, text) for text in ("a (red:1.3) cat on a mat", negative)
    )
    return studio


def assert_keys(found, calls, layout, embedding) -> None:
    """An entry's maps are the plain softmax over its 77 keys, repeats folded."""
    assert found.length == embedding.shape[1] // 2
    for number, block in enumerate(layout.blocks):
        wanted = 0
        for call in calls:
            repeats = call.context.shape[1] // embedding.shape[1]
            same = (call.context == embedding.to(call.context).repeat(1, repeats, 1)).flatten(1).all(1)
            p = rig.probabilities(call, number, block.heads)[same]
            assert p.shape[-1] == repeats * found.length
            wanted = wanted + p.unflatten(-1, (repeats, found.length)).sum(-2)
        wanted = wanted[..., list(found.columns)].transpose(-1, -2)
        assert (found.maps[number].float().sum(1).flatten(-2).double() - wanted).abs().max() <= 2e-3, (
            f"layer {block}"
        )


@pytest.mark.way("NegPip without negative weights")
@pytest.mark.parametrize("negative", ["ugly", LONG], ids=["same length", "padded by repetition"])
@pytest.mark.parametrize("order", ["before", "after"])
def test_its_keys_are_the_columns_of_the_prompt(negative, order):
    """Case D7."""
    studio = studio_of(negative, order)
    assert studio.positive[0][0].shape[1] == 154
    with rig.watch(studio.model) as calls:
        latent = stand_ins.draw(studio, negpip(studio.recorded))
    assert torch.equal(latent, stand_ins.draw(studio, negpip(studio.model)))
    run = rig.last_run(studio.recording)
    assert run.warnings == []
    positive, other = (rig.entry(studio.recording, role) for role in ("positive", "negative"))
    assert positive.prompt.text == "a (red:1.3) cat on a mat" and positive.prompt.length == 77
    assert_keys(positive, calls, run.layout, studio.positive[0][0])
    assert_keys(other, calls, run.layout, studio.negative[0][0])
    assert heatmaps(studio.recording, latent, "cat, red").words == ["cat", "red"]


def test_a_prompt_that_was_not_traced():
    """Case D7: its 77 keys are recorded; the words come from prompt_text."""
    studio = studio_of()
    bare = [
        [c, {"pooled_output": v["pooled_output"]}]
        for c, v in rig.encode(in_pairs(rig.clip("sdxl")), "a red cat")
    ]
    recorded, _, recording = rig.attach(studio.model, None, rig.RecordOptions())
    with rig.watch(studio.model) as calls:
        latent = rig.sample(negpip(recorded), bare, studio.negative)
    assert torch.equal(latent, rig.sample(negpip(studio.model), bare, studio.negative))
    found = rig.entry(recording)
    assert found.prompt is None and found.columns == tuple(range(77))
    assert rig.last_run(recording).warnings == []
    assert_keys(found, calls, recording.layout, bare[0][0])


def test_its_clip_without_its_model():
    """The model then sees 154 tokens, which are nobody's words; that is said."""
    studio = studio_of()
    latent = stand_ins.draw(studio, studio.recorded)
    assert torch.equal(latent, stand_ins.draw(studio, studio.model))
    run = rig.last_run(studio.recording)
    (found,) = run.of_role("positive")
    assert (found.length, found.prompt) == (154, None)
    assert run.warnings == ["The prompt has 77 tokens, but the model sees 154, so its words are not known."]


@pytest.mark.parametrize("negative", ["ugly", LONG], ids=["same length", "padded by repetition"])
def test_steering(negative, caplog):
    """Case D7: the values of the words' tokens are multiplied, and no others."""
    studio = studio_of(negative)
    steering = steered.scaling(studio.recording.layout, "cat")
    model, _ = steer(studio.model, None, steering)
    with rig.watch(studio.model) as calls:
        latent = steered.draw(negpip(model), studio)
    assert not torch.equal(latent, steered.draw(negpip(studio.model), studio))
    assert not [record for record in caplog.records if "[HRV]" in record.message]
    layout, (cat,) = studio.recording.layout, studio.positive[0][1]["hrv_prompt"].find("cat").columns
    embedding = studio.positive[0][0]
    for call in calls:
        repeats = call.context.shape[1] // embedding.shape[1]
        same = (call.context == embedding.to(call.context).repeat(1, repeats, 1)).flatten(1).all(1)
        assert same.sum() == 1
        table = torch.ones(len(same), layout.heads, repeats * 77)
        for repeat in range(repeats):
            table[same, :, cat + 77 * repeat] *= steering.factors
        for number, block in enumerate(layout.blocks):
            wanted = steered.plain_attention(call, number, block.heads, table[:, layout.span(number)])
            assert (call.out[number].double() - wanted).abs().max() <= steered.TOLERANCE, f"layer {block}"


def test_the_steered_words_are_found_without_a_recorder():
    """Through the steering node's own CLIP."""
    studio = rig.studio()
    steering = steered.scaling(studio.recording.layout, "cat")
    model, clip = steer(studio.model, rig.clip("sdxl"), steering)
    studio.positive = rig.encode(in_pairs(clip), "a cat")
    studio.negative = rig.encode(in_pairs(trace(rig.clip("sdxl"), TextRegistry())), "ugly")
    assert not torch.equal(steered.draw(negpip(model), studio), steered.draw(negpip(studio.model), studio))
