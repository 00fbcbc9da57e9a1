"""Steered attention is P · r · V: compared, for every layer and row, with the plainest computation on q, k and v as the
layers' own projections gave them. And where nothing is to be steered, not a bit changes."""

import nodes
import pytest
import rig
import steering_rig as steered
import torch
from comfy_extras import nodes_hooks  # noqa: F401  (makes sure that conditioning nodes of this release import)

from hrv_pack.host.follow.steerer import steer
from hrv_pack.host.text.clip_trace import TAG, TextRegistry, trace


def layout_of(kind: str):
    from hrv_pack.host.facts.layers import layout_of

    return layout_of(rig.tiny(kind).model.diffusion_model)


def check(model, positive, negative, parts, studio_model, **options):
    """Samples, and compares; `parts`: [(conditioning, {column: factors})]. Returns the latent and the steered rows."""
    more = {key: options.pop(key) for key in ("change", "size") if key in options}
    with rig.watch(studio_model) as calls:
        latent = rig.sample(model, positive, negative, **options)
    embeddings = [(conditioning[0][0], columns) for conditioning, columns in parts]
    layout = next(iter(model_layouts(studio_model)))
    return latent, steered.assert_steered(calls, layout, embeddings, **more)


def model_layouts(model):
    from hrv_pack.host.facts.layers import layout_of

    yield layout_of(model.model.diffusion_model)


def prompt_of(conditioning):
    return conditioning[0][1][TAG]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("size", [(16, 16), (11, 18)], ids=str)
def test_exact(kind, batch, size):
    """Any batch, any size, both shapes of network; and it does something."""
    studio = rig.studio(kind, positive="a red cat on a cat mat")
    layout = studio.recording.layout
    steering = steered.strengthening(layout, "cat#2, red")
    model, clip = steer(studio.model, None, steering)
    assert clip is None
    columns = steered.columns_of(steering, prompt_of(studio.positive))
    assert sorted(columns) == [2, 6]
    latent, rows = check(
        model, studio.positive, studio.negative, [(studio.positive, columns)], studio.model,
        latent=rig.empty(batch, *size),
    )  # fmt: skip
    assert rows == 2 * batch
    assert not torch.equal(latent, steered.draw(studio.model, studio, latent=rig.empty(batch, *size)))


@pytest.mark.parametrize("sampler", ["heun", "dpmpp_2m_sde", "uni_pc"])
def test_any_sampler(studio, sampler):
    steering = steered.scaling(studio.recording.layout)
    model, _ = steer(studio.model, None, steering)
    columns = steered.columns_of(steering, prompt_of(studio.positive))
    check(
        model, studio.positive, studio.negative, [(studio.positive, columns)], studio.model, sampler=sampler
    )


def test_without_negative(studio):
    """cfg 1: the host evaluates the positive prompt alone."""
    steering = steered.scaling(studio.recording.layout)
    model, _ = steer(studio.model, None, steering)
    columns = steered.columns_of(steering, prompt_of(studio.positive))
    parts = [(studio.positive, columns)]
    _, rows = check(model, studio.positive, studio.negative, parts, studio.model, cfg=1.0)
    assert rows == 2


def test_the_same_words_in_the_negative_prompt_stay(studio):
    steering = steered.scaling(studio.recording.layout)
    model, _ = steer(studio.model, None, steering)
    negative = rig.encode(studio.clip, "a grey cat")
    columns = steered.columns_of(steering, prompt_of(studio.positive))
    check(model, studio.positive, negative, [(studio.positive, columns)], studio.model)


@pytest.mark.parametrize("chunks", [2, 3])
def test_long_prompts(chunks):
    """A word in a later chunk; the short negative is padded by repetition."""
    studio = rig.studio(positive="cat " * (75 * (chunks - 1)) + "hat")
    steering = steered.scaling(studio.recording.layout, "hat, cat#1")
    model, _ = steer(studio.model, None, steering)
    columns = {1: steering.factors, 77 * (chunks - 1) + 1: steering.factors}
    check(model, studio.positive, studio.negative, [(studio.positive, columns)], studio.model)


def test_a_prompt_that_is_padded_by_repetition(studio):
    """The long one is the negative: every repeat of the word is steered."""
    steering = steered.scaling(studio.recording.layout)
    model, _ = steer(studio.model, None, steering)
    negative = rig.encode(studio.clip, "ugly " * 100)
    with rig.watch(studio.model) as calls:
        rig.sample(model, studio.positive, negative, steps=1)
    assert calls[0].context.shape[1] == 154
    columns = steered.columns_of(steering, prompt_of(studio.positive))
    parts = [(studio.positive[0][0], columns)]
    assert steered.assert_steered(calls, studio.recording.layout, parts) == 1


def test_combined_prompts(studio, caplog):
    """Each word where it is; a word that only one of them has is no mistake."""
    cat, dog = rig.encode(studio.clip, "a red cat"), rig.encode(studio.clip, "two red dogs")
    (both,) = nodes.ConditioningCombine().combine(cat, dog)
    steering = steered.scaling(studio.recording.layout, "red, dogs")
    model, _ = steer(studio.model, None, steering)
    parts = [(cat, {2: steering.factors}), (dog, {2: steering.factors, 3: steering.factors})]
    _, rows = check(model, both, studio.negative, parts, studio.model)
    assert rows == 4 and "[HRV]" not in caplog.text


def test_concatenated_prompts(studio):
    """The tag has the first text only: the second is found by what the CLIP noted."""
    cat, dog = rig.encode(studio.clip, "a red cat"), rig.encode(studio.clip, "two dogs")
    (both,) = nodes.ConditioningConcat().concat(cat, dog)
    steering = steered.scaling(studio.recording.layout, "dogs")
    model, _ = steer(studio.model, None, steering)
    check(model, both, studio.negative, [(both, {77 + 2: steering.factors})], studio.model)


def test_areas(studio):
    """The host copies the area's conditioning, uuid and all, into the negative list: the copy is not steered."""
    cat, garden = rig.encode(studio.clip, "a cat"), rig.encode(studio.clip, "a garden, a cat")
    negative = rig.encode(studio.clip, "ugly cat")
    (area,) = nodes.ConditioningSetArea().append(cat, 96, 64, 64, 32, 1.0)
    steering = steered.scaling(studio.recording.layout)
    model, _ = steer(studio.model, None, steering)
    parts = [(cat, {2: steering.factors}), (garden, {5: steering.factors})]
    with rig.watch(studio.model) as calls:
        rig.sample(model, area + garden, negative)
    assert {call.shape[-2:] for call in calls} == {(8, 12), (16, 24)}
    embeddings = [(conditioning[0][0], columns) for conditioning, columns in parts]
    assert steered.assert_steered(calls, studio.recording.layout, embeddings) == 4


def test_two_nodes_multiply(studio):
    """In a row, on the same and on other words, the factors of a token multiply."""
    layout = studio.recording.layout
    first = steered.strengthening(layout, "red, cat")
    second = steered.scaling(layout, "cat, mat")
    once, _ = steer(studio.model, None, first)
    twice, _ = steer(once, None, second)
    columns = {2: first.factors, 3: first.factors * second.factors, 6: second.factors}
    latent, _ = check(twice, studio.positive, studio.negative, [(studio.positive, columns)], studio.model)
    other, _ = steer(studio.model, None, second)
    other, _ = steer(other, None, first)
    assert torch.equal(latent, steered.draw(other, studio))
    parts = [(studio.positive, {2: first.factors, 3: first.factors})]
    check(
        once, studio.positive, studio.negative, parts, studio.model
    )  # the second left the first's model alone


def test_part_of_the_schedule(studio):
    """Steps are steered by their sigma; two nodes may act in different parts."""
    layout = studio.recording.layout
    early = steered.scaling(layout, "cat", end_percent=0.5)
    late = steered.scaling(layout, "mat", factor=3.0, start_percent=0.5)
    model, _ = steer(studio.model, None, early)
    model, _ = steer(model, None, late)
    with rig.watch(studio.model) as calls:
        steered.draw(model, studio, steps=4)
    embedding = studio.positive[0][0]
    sampling = studio.model.get_model_object("model_sampling")
    half = float(sampling.percent_to_sigma(0.5))
    import comfy.samplers

    sigmas = comfy.samplers.calculate_sigmas(sampling, "normal", 4)[:-1].tolist()
    assert any(s > half for s in sigmas) and any(s < half for s in sigmas)
    for sigma, call in zip(sigmas, calls, strict=True):
        columns = {3: early.factors} if sigma > half else {6: late.factors}
        steered.assert_steered([call], layout, [(embedding, columns)])


def test_every_word(studio):
    steering = steered.scaling(studio.recording.layout, "")
    model, _ = steer(studio.model, None, steering)
    columns = {column: steering.factors for column in range(1, 7)}  # a red cat on a mat
    check(model, studio.positive, studio.negative, [(studio.positive, columns)], studio.model)


def test_phrases_weights_and_embeddings(studio):
    text = rig.encode(studio.clip, "a (red:1.3) cat on a [mat]")
    steering = steered.scaling(studio.recording.layout, "red cat")
    model, _ = steer(studio.model, None, steering)
    columns = {2: steering.factors, 3: steering.factors}
    check(model, text, studio.negative, [(text, columns)], studio.model)


# -- not a bit changes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "identity",
    [
        lambda layout: steered.strengthening(layout, "cat", strength=0.0),
        lambda layout: steered.scaling(layout, "cat", factor=1.0),
        lambda layout: steered.scale(
            steered.HeadSelection(layout, torch.zeros(layout.heads)), -2.0, steered.Where("cat")
        ),
    ],
    ids=["strength 0", "factor 1", "no heads"],
)
def test_nothing_to_do(kind, identity):
    """The model comes back as a plain clone."""
    studio = rig.studio(kind)
    model, _ = steer(studio.model, None, identity(studio.recording.layout))
    assert model is not studio.model
    assert not any("hrv_steer" in wrappers for wrappers in model.wrappers.values())
    assert torch.equal(steered.draw(model, studio), steered.draw(studio.model, studio))


def test_no_matching_word(kind, caplog):
    """One warning that names the words that there are."""
    studio = rig.studio(kind)
    model, _ = steer(studio.model, None, steered.scaling(studio.recording.layout, "zebra"))
    assert torch.equal(steered.draw(model, studio), steered.draw(studio.model, studio))
    (warning,) = [r.message for r in caplog.records if "[HRV]" in r.message]
    assert "Scale Heads: “zebra” is not in the prompt. The prompt's words are: red, cat, mat." in warning


def test_a_prompt_that_was_not_traced(studio, caplog):
    model, _ = steer(studio.model, None, steered.scaling(studio.recording.layout))
    positive = rig.encode(rig.clip("sdxl"), "a red cat")
    latent = rig.sample(model, positive, studio.negative)
    assert torch.equal(latent, rig.sample(studio.model, positive, studio.negative))
    (warning,) = [r.message for r in caplog.records if "[HRV]" in r.message]
    assert "CLIP does not come from Record Attention or the steering node, route it through" in warning


def test_a_prompt_that_is_zeroed_is_called_so(studio, caplog):
    model, _ = steer(studio.model, None, steered.scaling(studio.recording.layout))
    (zeroed,) = nodes.ConditioningZeroOut().zero_out(studio.positive)
    latent = rig.sample(model, zeroed, studio.negative)
    assert torch.equal(latent, rig.sample(studio.model, zeroed, studio.negative))
    (warning,) = [r.message for r in caplog.records if "[HRV]" in r.message]
    assert warning == (
        "[HRV] The positive prompt is zeroed (ConditioningZeroOut), so it has no words. Connect a text "
        "node instead."
    )


def test_outside_its_part_of_the_schedule(studio, caplog):
    steering = steered.scaling(studio.recording.layout, start_percent=0.01, end_percent=0.011)
    model, _ = steer(studio.model, None, steering)
    assert torch.equal(steered.draw(model, studio), steered.draw(studio.model, studio))
    assert "Scale Heads changed nothing in this image. None of the" in caplog.text


def test_layers_without_a_chosen_head_are_left_alone(studio):
    layout = studio.recording.layout
    weights = torch.zeros(layout.heads)
    weights[layout.span(2).start] = 1.0
    steering = steered.scale(steered.HeadSelection(layout, weights), -2.0, steered.Where("cat"))
    model, _ = steer(studio.model, None, steering)
    keys = []

    def patch(n, context, value, extra):
        return n, context, value

    def wrapper(executor, *args, **kwargs):
        options = kwargs.get("transformer_options") or args[5]
        keys.append(set(options.get("patches_replace", {}).get("attn2", {})))
        return executor(*args, **kwargs)

    import comfy.patcher_extension

    kinds = comfy.patcher_extension.WrappersMP
    model.add_wrapper_with_key(kinds.DIFFUSION_MODEL, "spy", wrapper)
    steered.draw(model, studio)
    assert all(not key for key in keys)  # other packs' wrappers never see ours
    columns = {3: steering.factors}
    check(model, studio.positive, studio.negative, [(studio.positive, columns)], studio.model)


# -- where the words come from ------------------------------------------------------------------------------------


def test_its_own_clip(studio):
    """Without a recorder in the graph: through the node's own clip."""
    steering = steered.scaling(studio.recording.layout)
    model, clip = steer(studio.model, rig.clip("sdxl"), steering)
    positive = rig.encode(clip, "a cat")
    check(model, positive, studio.negative, [(positive, {2: steering.factors})], studio.model)


def test_a_conditioning_that_was_rebuilt_without_its_tag(studio):
    """Known by its numbers, because its CLIP came through the node."""
    steering = steered.scaling(studio.recording.layout)
    model, clip = steer(studio.model, rig.clip("sdxl"), steering)
    first, _ = steer(studio.model, None, steered.strengthening(studio.recording.layout, "cat"))
    encoded = rig.encode(clip, "a cat")
    bare = [[encoded[0][0], {"pooled_output": encoded[0][1]["pooled_output"]}]]
    check(model, bare, studio.negative, [(bare, {2: steering.factors})], studio.model)
    again, _ = steer(model, None, steered.scaling(studio.recording.layout, factor=3.0))
    columns = {2: torch.where(steering.factors != 1, -6.0, 1.0)}
    check(again, bare, studio.negative, [(bare, columns)], studio.model)
    assert torch.equal(
        rig.sample(first, bare, studio.negative), rig.sample(studio.model, bare, studio.negative)
    )


def test_an_averaged_conditioning(studio, caplog):
    cat, dog = rig.encode(studio.clip, "a cat"), rig.encode(studio.clip, "two dogs")
    (mixed,) = nodes.ConditioningAverage().addWeighted(cat, dog, 0.5)
    steering = steered.scaling(studio.recording.layout)
    model, _ = steer(studio.model, None, steering)
    check(model, mixed, studio.negative, [(mixed, {2: steering.factors})], studio.model)
    assert "ConditioningAverage" in caplog.text


def test_a_clip_of_two_tracers(studio):
    steering = steered.scaling(studio.recording.layout)
    model, clip = steer(studio.model, trace(rig.clip("sdxl"), TextRegistry()), steering)
    positive = rig.encode(clip, "a cat")
    check(model, positive, studio.negative, [(positive, {2: steering.factors})], studio.model)
