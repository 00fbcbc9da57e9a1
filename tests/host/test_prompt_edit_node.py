"""Edit Prompt against the plainest computation: probabilities of both pictures written out, columns exchanged, times values.
And where nothing is to be edited, not a bit changes."""

import edit_rig as editing
import nodes
import pytest
import rig
import steering_rig as steered
import torch
from comfy_extras import nodes_pag
from stand_ins import image_attention, replaced

from hrv_pack.host import edited_sampling
from hrv_pack.host.blocks import layout_of
from hrv_pack.host.steering import steer
from hrv_pack.hrv.recording import NoRecording
from hrv_pack.hrv.steering import Where, scale, strengthen

LENGTH = 77
SAME = {column: [column] for column in range(LENGTH)}


def layout(scene):
    return layout_of(scene.model.model.diffusion_model)


def complaints(caplog) -> list[str]:
    return [record.message for record in caplog.records if "[HRV]" in record.message]


def repeats_and_calls(passes, pictures: int):
    """[(repeated pass of the first picture, present pass)]: the first has one row for each picture."""
    assert len(passes) % 2 == 0 and all(p.rows == pictures for p in passes[::2])
    return list(zip(passes[::2], passes[1::2], strict=True))


def positive_rows(present, pictures: int, cfg: float) -> slice:
    """The host puts the negative prompt last in the list of chunks, that is first in the batch, or evaluates none."""
    return slice(0, pictures) if cfg == 1 else slice(present.rows - pictures, present.rows)


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
@pytest.mark.parametrize(
    ("batch", "size", "cfg"), [(1, (16, 16), 7.0), (2, (11, 18), 7.0), (2, (16, 24), 1.0)], ids=str
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
    scene = editing.scene(second="a red cat on a mat", latent=rig.empty(2), steps=3)
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
    scene = editing.scene(steps=3)
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
    scene = editing.scene(second="a red cat on a mat", sampler=sampler, steps=3)
    assert editing.close(scene.draw(scene.edited()), scene.latent)
    assert not editing.close(scene.draw(scene.model, seed=6), scene.latent)


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


# -- with others ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["recorder", "edit"])
def test_with_the_recorder_in_either_order(first, caplog):
    """The latent is that of editing alone, and the repeated runs are not recorded."""
    scene = editing.scene()
    alone = scene.draw(scene.edited())
    if first == "recorder":
        recorded, _, recording = rig.attach(scene.model, None, rig.RecordOptions())
        model = scene.edited(recorded)
    else:
        model, _, recording = rig.attach(scene.edited(), None, rig.RecordOptions())
    assert torch.equal(scene.draw(model), alone)
    run = rig.last_run(recording)
    assert run.warnings == [] and [entry.counts for entry in run.entries] == [[2]]
    assert complaints(caplog) == []


@pytest.mark.parametrize("first", ["steering", "edit"])
def test_with_steering_in_either_order(first):
    """Factors of a steering node multiply what the words get, from whichever picture."""
    scene = editing.scene()
    steering = scale(steered.some_heads(layout(scene)), 3.0, Where("cat"))
    model = (
        steer(scene.edited(), None, steering)[0]
        if first == "edit"
        else scene.edited(steer(scene.model, None, steering)[0])
    )
    with editing.watch(scene.model) as passes:
        scene.draw(model)
    for repeated, present in repeats_and_calls(passes, 1):
        editing.assert_cross(layout(scene), repeated, present, slice(1, 2), SAME, {3: steering.factors})


@pytest.mark.parametrize("order", ["before", "after"])
def test_attn2_replacements_still_act(order):
    """Like IPAdapter, on both samplers: with the same prompt, the first picture as that pack makes it."""
    scene = editing.scene(model=replaced(rig.tiny("sdxl"), "middle", 0), second="a red cat on a mat")
    plain = editing.scene(second="a red cat on a mat")
    assert not torch.equal(scene.latent, plain.latent)
    model = scene.edited() if order == "before" else replaced(scene.edited(rig.tiny("sdxl")), "middle", 0)
    assert editing.close(scene.draw(model), scene.latent)


def test_perturbed_attention_guidance():
    (model,) = nodes_pag.PerturbedAttentionGuidance.execute(rig.tiny("sdxl"), 3.0).result
    scene = editing.scene(model=model, second="a red cat on a mat", latent=rig.empty(1, 16, 16))
    assert editing.close(scene.draw(scene.edited()), scene.latent)


def test_the_edited_picture_is_not_remembered():
    scene = editing.scene()
    model = scene.edited(scene.remembering)
    assert torch.equal(scene.draw(model), scene.draw(scene.edited()))
    assert len(scene.memory._runs) == 1
    again, _, _ = editing.remember(model, None, 2**26)
    assert torch.equal(scene.draw(again), scene.draw(model))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_weights(dtype):
    import models

    scene = editing.scene(model=models.random_model(rig.CONFIG["sdxl"], dtype), steps=1)
    latent = scene.draw(scene.edited())
    assert latent.isfinite().all() and not torch.equal(latent, scene.draw(scene.model))


# -- what cannot be edited ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"seed": 6}, "start from different pictures of noise"),
        ({"steps": 3, "scheduler": "simple"}, "takes steps that the first did not take"),
        ({"latent": rig.empty(2, 8, 8)}, "had 1 pictures of 8×12 latent pixels, the second has 2 of 8×8"),
    ],
    ids=["seed", "steps", "batch"],
)
def test_samplers_that_differ(changes, fragment, caplog):
    scene = editing.scene(steps=2)

    def draw(model):
        settings = {"scheduler": "normal", **changes}
        latent = settings.pop("latent", scene.settings["latent"])
        scheduler, seed, steps = settings["scheduler"], settings.get("seed", 5), settings.get("steps", 2)
        with torch.inference_mode():
            (out,) = nodes.common_ksampler(
                model, seed, steps, 7.0, "euler", scheduler, scene.second, scene.negative, latent
            )
        return out["samples"]

    edited = draw(scene.edited())
    (warning,) = complaints(caplog)
    assert fragment in warning
    if "steps" not in changes:  # the first step may be the same
        assert torch.equal(edited, draw(scene.model))


def test_another_model_is_told(caplog):
    scene = editing.scene()
    steering = scale(steered.some_heads(layout(scene)), -2.0, Where("red, cat"))
    first, _ = steer(scene.remembering, None, steering)
    scene.latent = scene.draw(first, scene.first)
    scene.draw(scene.edited())
    (warning,) = complaints(caplog)
    assert "no longer draws the first picture as the first sampler did" in warning


def test_words_that_are_not_known(caplog):
    """Self-attention is still taken over."""
    scene = editing.scene(latent=rig.empty(1, 8, 8))
    scene.second = rig.encode(rig.clip("sdxl"), "a green cat on a mat")
    with editing.watch(scene.model) as passes:
        scene.draw(scene.edited())
    (warning,) = complaints(caplog)
    assert "The second picture's words are not known" in warning
    for repeated, present in repeats_and_calls(passes, 1):
        editing.assert_self(layout(scene), repeated, present, slice(1, 2), set(range(len(present.attn1))))
        own = {column: None for column in range(LENGTH)}
        editing.assert_cross(layout(scene), repeated, present, slice(1, 2), own)


def test_words_to_rescale_that_are_not_there(caplog):
    scene = editing.scene()
    steering = strengthen(steered.vectors_for(layout(scene)), "Color", 1.0, 0.0, Where("blue, hat"))
    scene.draw(scene.edited(steering=steering))
    (warning,) = complaints(caplog)
    assert "“hat” is not in the prompt." in warning


def test_another_latent(caplog):
    """The newest run stands in, with a warning; without any run, an error that says what to connect."""
    scene = editing.scene()
    expected = scene.draw(scene.edited())
    scene.latent = scene.latent + 1
    assert torch.equal(scene.draw(scene.edited()), expected)
    assert "did not come out of a sampler behind Remember Run" in complaints(caplog)[0]
    _, _, scene.memory = editing.remember(scene.model, None, 2**20)
    with pytest.raises(NoRecording, match="Connect Remember Run's model output to the first sampler"):
        scene.edited()


def test_a_run_larger_than_the_limit(caplog):
    """The first steps are remembered and edited."""
    scene = editing.scene(latent=rig.empty(1, 8, 8), steps=4)
    remembering, _, scene.memory = editing.remember(scene.model, None, 24000)  # two of the four steps fit
    scene.latent = scene.draw(remembering, scene.first)
    (warning,) = complaints(caplog)
    assert "Raise memory_limit_mb in Remember Run" in warning
    with editing.watch(scene.model) as passes:
        scene.draw(scene.edited())
    assert len(passes) == 2 + 4 and len(complaints(caplog)) == 1


@pytest.mark.parametrize("place", ["align", "replay", "split_values", "with_entries"])
def test_whatever_goes_wrong_the_picture_is_made(place, monkeypatch, caplog):
    scene = editing.scene(latent=rig.empty(1, 8, 8))

    def failing(*args, **kwargs):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(edited_sampling, place, failing)
    latent = scene.draw(scene.edited(self_percent=0.0))
    (warning,) = complaints(caplog)
    assert "Editing stopped while" in warning and "memory ran out" in warning
    assert torch.equal(latent, scene.draw(scene.model))


def test_an_error_while_remembering(monkeypatch, caplog):
    from hrv_pack.host import run_memory

    scene = editing.scene(latent=rig.empty(1, 8, 8))

    def failing(*args, **kwargs):
        raise RuntimeError("broken")

    monkeypatch.setattr(run_memory, "Frame", failing)
    remembering, _, memory = editing.remember(scene.model, None, 2**20)
    assert torch.equal(scene.draw(remembering, scene.first), scene.latent)
    (warning,) = complaints(caplog)
    assert "Remembering stopped while" in warning and "RuntimeError: broken" in warning
    with pytest.raises(NoRecording):
        memory.match(scene.latent)


# -- nodes --------------------------------------------------------------------------------------------------------------


def test_the_contract_of_the_graph(comfy):
    def ports(node_id):
        schema = comfy.node_class(node_id).GET_SCHEMA()
        return [i.id for i in schema.inputs], [o.io_type for o in schema.outputs]

    assert ports("HRVRememberRun") == (["model", "clip", "memory_limit_mb"], ["MODEL", "CLIP", "HRV_SOURCE"])
    assert ports("HRVPromptEdit") == (
        ["model", "source", "latent", "cross_percent", "self_percent", "changed_words", "vectors", "concept", "words",
         "strength", "clamp", "self_grids"],
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
