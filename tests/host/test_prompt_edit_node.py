"""Edit Prompt against the plainest computation: probabilities of both pictures written out, columns exchanged, times values.
And where nothing is to be edited, not a bit changes."""

import edit_rig as editing
import nodes
import pytest
import rig
import steering_rig as steered
import torch
from edit_rig import LENGTH, SAME, complaints, layout, repeats_and_calls

from hrv_pack.host.follow.steerer import steer
from hrv_pack.hrv.steer.factors import Where, strengthen


def positive_rows(present, pictures: int, cfg: float) -> slice:
    """The host puts the negative prompt last in the list of chunks, that is first in the batch, or evaluates none."""
    return slice(0, pictures) if cfg == 1 else slice(present.rows - pictures, present.rows)


@pytest.mark.parametrize(
    ("kind", "batch", "size", "cfg"),
    [("sd1", 1, (8, 8), 7.0), ("sdxl", 2, (11, 18), 7.0), ("sdxl", 2, (8, 12), 1.0)],
    ids=str,
)
def test_exact(kind, batch, size, cfg):
    """A word swap, with self-attention on all grids, any batch and size, with and without a negative prompt."""
    scene = editing.scene(kind, latent=rig.empty(batch, *size), cfg=cfg)
    with editing.watch(scene.model) as passes:
        latent = scene.draw(scene.edited())
    for repeated, present in repeats_and_calls(passes, batch):
        rows = positive_rows(present, batch, cfg)
        editing.assert_cross(layout(scene), repeated, present, rows, SAME)
        editing.assert_self(layout(scene), repeated, present, rows, set(range(len(present.attn1))))
    plain = scene.draw(scene.model)
    assert len(passes) == 4 and not torch.equal(latent, plain)
    assert (latent - scene.latent).norm() < (plain - scene.latent).norm()


def test_the_same_prompt_gives_the_first_picture():
    scene = editing.scene(second="a red cat on a mat", latent=rig.empty(2, 8, 12))
    assert editing.close(scene.draw(scene.edited()), scene.latent)


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_where_nothing_is_to_be_done_not_a_bit_changes(kind, caplog):
    scene = editing.scene(kind)
    plain = scene.draw(scene.model)
    assert torch.equal(scene.draw(scene.model, scene.first), scene.latent)  # remembering changes nothing
    none = strengthen(steered.vectors_for(layout(scene)), "Color", 0.0, 0.0, Where())
    for steering in (None, none):
        model = scene.edited(cross_percent=0.0, self_percent=0.0, steering=steering)
        assert torch.equal(scene.draw(model), plain)
    assert complaints(caplog) == []


def check(scene, pairs, model=None, factors=None, pictures=1, edited=None, **changes):
    """Draws the second picture and compares every layer. Returns its latent."""
    model = scene.edited() if model is None else model
    with editing.watch(scene.model) as passes:
        latent = scene.draw(model, **changes)
    for repeated, present in repeats_and_calls(passes, pictures):
        rows = positive_rows(present, pictures, 7.0)
        editing.assert_cross(layout(scene), repeated, present, rows, pairs, factors)
        layers = set(range(len(present.attn1))) if edited is None else edited
        editing.assert_self(layout(scene), repeated, present, rows, layers)
    return latent


def test_an_added_word():
    """Its own attention, the words after it those of the column before; the target's padding begins a column later."""
    scene = editing.scene(first="a red cat", second="a red fat cat")
    pairs = {0: [0], 1: [1], 2: [2], 3: None, 4: [3], 5: [4]} | {
        column: [column] for column in range(6, LENGTH)
    }
    check(scene, pairs)


@pytest.mark.parametrize("replace", [True, False])
def test_a_phrase_of_another_length(replace):
    scene = editing.scene(first="a red cat", second="a dog")
    # start, a, red, cat, end, padding from 5  →  start, a, dog, end, padding from 4
    pairs = {0: [0], 1: [1], 2: [2, 3] if replace else None, 3: [4], 4: None} | {
        c: [c] for c in range(5, LENGTH)
    }
    check(scene, pairs, scene.edited(replace=replace))


@pytest.mark.parametrize("long", ["negative", "both"])
def test_long_prompts(long):
    """The host pads the shorter prompt by repeating it."""
    many = "ugly " * 100
    if long == "negative":
        check(editing.scene(negative=many, steps=1), SAME)
    else:
        scene = editing.scene(first=f"{many} red cat", second=f"{many} blue cat", steps=1)
        check(scene, {column: [column] for column in range(2 * LENGTH)})


def test_self_attention_on_smaller_grids():
    scene = editing.scene(latent=rig.empty(1, 16, 16))
    blocks = layout(scene).blocks
    with editing.watch(scene.model) as passes:
        scene.draw(scene.model, steps=1)
    pixels = [layer.q.shape[1] for layer in passes[0].attn1]
    smaller = {number for number, count in enumerate(pixels) if count < max(pixels)}
    assert 0 < len(smaller) < len(blocks)
    check(scene, SAME, scene.edited(smaller_grids=True), edited=smaller)


def test_changed_words_are_rescaled_in_all_steps():
    """By default the words that differ; others where they are named. Where the first picture no longer acts, too."""
    scene = editing.scene()
    vectors = steered.vectors_for(layout(scene))
    for words, columns in (("", [2]), ("cat, mat", [3, 6])):
        steering = strengthen(vectors, "Color", 0.5, 0.0, Where(words))
        factors = {column: steering.factors for column in columns}
        check(scene, SAME, scene.edited(steering=steering), factors)
    model = scene.edited(cross_percent=0.0, self_percent=0.0, steering=steering)
    expected, _ = steer(scene.model, None, steering)
    assert torch.equal(scene.draw(model), scene.draw(expected))


def test_part_of_the_schedule():
    """Each kind of attention up to its own part; after both, the UNet runs once."""
    scene = editing.scene(steps=4)
    sampling = scene.model.get_model_object("model_sampling")
    import comfy.samplers

    sigmas = comfy.samplers.calculate_sigmas(sampling, "normal", 4)[:-1].tolist()
    until = {
        percent: sum(s >= float(sampling.percent_to_sigma(percent)) for s in sigmas) for percent in (0.3, 0.6)
    }
    assert 0 < until[0.3] < until[0.6] < 4
    with editing.watch(scene.model) as passes:
        scene.draw(scene.edited(cross_percent=0.3, self_percent=0.6))
    assert [p.rows for p in passes] == [1, 2] * until[0.6] + [2] * (4 - until[0.6])
    everywhere = set(range(len(passes[1].attn1)))
    for step in range(4):
        last = 2 * min(step, until[0.6]) + max(0, step - until[0.6]) + (step < until[0.6])
        repeated, present = passes[last - 1], passes[last]
        pairs = SAME if step < until[0.3] else {column: None for column in range(LENGTH)}
        if step < until[0.6]:
            editing.assert_self(layout(scene), repeated, present, slice(1, 2), everywhere)
        else:
            editing.assert_self(layout(scene), present, present, slice(0, 0), set())
        if step >= until[0.3]:  # cross-attention was not repeated
            repeated = present
        editing.assert_cross(layout(scene), repeated, present, slice(1, 2), pairs)


@pytest.mark.parametrize("sampler", ["heun", "dpmpp_2m_sde", "uni_pc"])
def test_any_sampler(sampler):
    """Heun evaluates twice at one sigma; each has its counterpart."""
    scene = editing.scene(second="a red cat on a mat", sampler=sampler)
    assert editing.close(scene.draw(scene.edited()), scene.latent)


@pytest.mark.parametrize("sampler", ["heun", "dpmpp_2m_sde"])
def test_outside_the_mask_the_first_picture_stays(sampler):
    """A mask of 1 changes nothing, half a mask keeps the other half, with and without the first picture's attention."""
    scene = editing.scene(sampler=sampler)
    left = torch.zeros(1, 64, 96)
    left[:, :, :48] = 1
    for percents in ({}, {"cross_percent": 0.0, "self_percent": 0.0}):
        free = scene.draw(scene.edited(**percents))
        assert editing.close(scene.draw(scene.edited(mask=torch.ones(1, 64, 96), **percents)), free)
        masked = scene.draw(scene.edited(mask=left, **percents))
        assert editing.close(masked[..., 6:], scene.latent[..., 6:])
        assert not editing.close(masked[..., :6], scene.latent[..., :6])


def test_a_mask_for_each_picture():
    scene = editing.scene(latent=rig.empty(2, 8, 12))
    mask = torch.stack([torch.zeros(8, 12), torch.ones(8, 12)])
    free, masked = (scene.draw(scene.edited(**more)) for more in ({}, {"mask": mask}))
    assert editing.close(masked[0], scene.latent[0]) and torch.equal(masked[1], free[1])


def test_combined_prompts():
    """Compared in order, each with its own counterpart."""
    scene = editing.scene(first="a red cat", second="a blue cat")
    dog = rig.encode(scene.clip, "two dogs")
    (before,) = nodes.ConditioningCombine().combine(scene.first, dog)
    (after,) = nodes.ConditioningCombine().combine(scene.second, dog)
    scene.latent = scene.draw(scene.remembering, before)
    assert editing.close(scene.draw(scene.edited(), before), scene.latent)
    with editing.watch(scene.model) as passes:
        latent = scene.draw(scene.edited(), after)
    assert sorted(p.rows for p in passes) == [1, 1, 1, 1, 3, 3]
    assert (latent - scene.latent).norm() < (scene.draw(scene.model, after) - scene.latent).norm()


def test_areas():
    """A part of the picture with a prompt of its own: its counterpart is the same part."""
    scene = editing.scene(latent=rig.empty())
    garden = rig.encode(scene.clip, "a garden")
    (area,) = nodes.ConditioningSetArea().append(scene.first, 96, 64, 64, 32, 1.0)
    scene.latent = scene.draw(scene.remembering, area + garden)
    assert editing.close(scene.draw(scene.edited(), area + garden), scene.latent)


# -- nodes --------------------------------------------------------------------------------------------------------------


def test_the_contract_of_the_graph(comfy):
    def ports(node_id):
        schema = comfy.node_class(node_id).GET_SCHEMA()
        return [i.id for i in schema.inputs], [o.io_type for o in schema.outputs]

    assert ports("HRVRememberRun") == (["model", "clip", "memory_limit_mb"], ["MODEL", "CLIP", "HRV_SOURCE"])
    assert ports("HRVPromptEdit") == (
        ["model", "source", "latent", "cross_percent", "self_percent", "changed_words", "vectors", "concept", "words",
         "strength", "clamp", "self_grids", "mask"],
        ["MODEL"],
    )  # fmt: skip


def test_nodes_do_what_the_functions_do(comfy):
    scene = editing.scene()
    vectors = steered.vectors_for(layout(scene))
    model, clip, source = comfy.run_node("HRVRememberRun", model=scene.model, clip=rig.clip("sdxl"))
    scene.first, scene.second = (
        rig.encode(clip, text) for text in ("a red cat on a mat", "a blue cat on a mat")
    )
    latent = scene.draw(model, scene.first)
    assert torch.equal(latent, scene.latent)
    inputs = {
        "model": model,
        "source": source,
        "latent": {"samples": latent},
        "cross_percent": 1.0,
        "concept": "color",
    }
    (plain,) = comfy.run_node("HRVPromptEdit", **inputs)
    (scaled,) = comfy.run_node("HRVPromptEdit", **inputs, vectors=vectors, strength=0.5, words="blue")
    (freely,) = comfy.run_node(
        "HRVPromptEdit", **inputs, changed_words="a place of its own", self_grids="all"
    )
    steering = strengthen(vectors, "Color", 0.5, 0.0, Where("blue"))
    common = {"self_percent": 0.4, "smaller_grids": True}
    expected = [
        scene.edited(**common), scene.edited(steering=steering, **common), scene.edited(replace=False, self_percent=0.4),
    ]  # fmt: skip
    for found, wanted in zip((plain, scaled, freely), expected, strict=True):
        assert torch.equal(scene.draw(found), scene.draw(wanted))
    with pytest.raises(ValueError, match="no concept “Colour”"):
        comfy.run_node("HRVPromptEdit", **(inputs | {"concept": "Colour"}), vectors=vectors)


def test_as_a_graph(server):
    """Two ordinary samplers on the demo checkpoint; the second waits for the first by its latent."""

    def node(class_type, **inputs):
        return {"class_type": class_type, "inputs": inputs}

    def sampler(model, positive):
        return node(
            "KSampler", model=model, positive=[positive, 0], negative=["negative", 0], latent_image=["empty", 0], seed=1,
            steps=2, cfg=4.0, sampler_name="euler", scheduler="normal", denoise=1.0,
        )  # fmt: skip

    graph = {
        "edit": node(
            "HRVPromptEdit", model=["remember", 0], source=["remember", 2], latent=["first", 0], cross_percent=0.8,
            self_percent=0.4, changed_words="the old word's place", concept="Colours", words="", strength=1.0, clamp=0.0,
            self_grids="all",
        ),
        "second": sampler(["edit", 0], "blue"),
        "checkpoint": node("HRVDemoCheckpoint"),
        "remember": node("HRVRememberRun", model=["checkpoint", 0], clip=["checkpoint", 1], memory_limit_mb=64),
        "red": node("CLIPTextEncode", clip=["remember", 1], text="a red star on sand"),
        "blue": node("CLIPTextEncode", clip=["remember", 1], text="a blue star on sand"),
        "negative": node("CLIPTextEncode", clip=["remember", 1], text=""),
        "empty": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "first": sampler(["remember", 0], "red"),
        "decode": node("VAEDecode", samples=["second", 0], vae=["checkpoint", 2]),
        "preview": node("PreviewImage", images=["decode", 0]),
    }  # fmt: skip
    logged = len(server.log)
    result = server.run(graph)
    assert len(result.images["preview"]) == 1
    assert "[HRV]" not in server.log[logged:]
