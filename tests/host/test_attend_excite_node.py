"""Attend and Excite inside ComfyUI's samplers: what the sampler goes on from, and what must stay as it is. (The gradient is in
test_excite_gradient.py.)"""

from dataclasses import replace

import comfy.patcher_extension
import pytest
import rig
import torch
from excite_rig import FIRST, SHORT, SMALL, as_latent, complaints, draw, excited, shift_of, shifts

from hrv_pack.host.follow.exciter import excite
from hrv_pack.hrv.heads.known_layouts import SD1
from hrv_pack.hrv.relevance.vectors import HeadRelevance
from hrv_pack.hrv.steer.attend_excite import Excitement

WRAPPERS = comfy.patcher_extension.WrappersMP


# -- what the sampler goes on from ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "ddpm", "euler_ancestral"])
def test_the_sampler_goes_on_from_the_moved_latent(studio, sampler):
    """Moving x before the first evaluation is sampling from the moved x, to the last step."""
    with shifts() as found:
        latent = draw(excited(studio, **FIRST), studio, sampler=sampler, steps=3)
    ((_, shift),) = found
    start = {"samples": as_latent(studio, SMALL["samples"], shift)}
    wanted = draw(studio.model, studio, sampler=sampler, steps=3, latent=start)
    assert not torch.equal(latent, draw(studio.model, studio, sampler=sampler, steps=3))
    assert torch.allclose(latent, wanted, atol=1e-3 * float(wanted.abs().max()))


@pytest.mark.parametrize("sampler", ["heun", "dpmpp_2m_sde", "dpmpp_3m_sde", "uni_pc", "lcm", "euler_cfg_pp"])
def test_any_sampler(studio, sampler, caplog):
    latent = draw(excited(studio), studio, sampler=sampler, steps=3)
    assert torch.isfinite(latent).all() and complaints(caplog) == []
    assert not torch.equal(latent, draw(studio.model, studio, sampler=sampler, steps=3))


def test_the_step_follows_the_schedule(studio):
    """Twice the strength is twice the shift; it is smaller later; outside its part there is none."""
    whole = {"end_percent": 1.0}
    one, two = (shift_of(excited(studio, strength=s, **whole), studio) for s in (1.0, 2.0))
    assert torch.allclose(2 * one, two, rtol=1e-4)
    with shifts() as found:
        draw(excited(studio, end_percent=0.5), studio, steps=4)
    assert len(found) == 2
    with shifts() as found:
        draw(excited(studio, start_percent=0.5, end_percent=1.0), studio, steps=4)
    assert len(found) == 2


# -- batches, prompts, sizes ----------------------------------------------------------------------------------------


def test_every_picture_has_a_loss_of_its_own(kind):
    studio = rig.studio(kind)
    for cfg in (7.0, 1.0):
        together = shift_of(excited(studio), studio, latent=rig.empty(3, 8, 16), cfg=cfg)
        alone = shift_of(excited(studio), studio, cfg=cfg)
        assert torch.allclose(together[:1], alone, rtol=1e-3, atol=1e-5 * float(alone.abs().max()))
        assert not torch.allclose(together[1], together[0], rtol=0.1)


def test_only_where_the_area_lies(studio):
    """The word stands in a prompt for the left half, and in none for the whole."""
    left = [[studio.positive[0][0], {**studio.positive[0][1], "area": (16, 8, 0, 0), "strength": 1.0}]]
    whole = rig.encode(studio.clip, "a green field")
    with shifts() as found:
        rig.sample(excited(studio), left + whole, studio.negative, steps=1)
    shift = found[0][1]
    assert shift[..., :8].abs().max() > 0 and shift[..., 8:].abs().max() == 0


def test_combined_prompts_are_added(studio):
    """Each prompt that has the word has a loss of its own; a long one is padded, and so is its neighbour."""
    other = rig.encode(studio.clip, "the cat " + "very " * 80 + "big")
    alone = [shift_of(excited(studio), replace(studio, positive=p)) for p in (studio.positive, other)]
    both = shift_of(excited(studio), replace(studio, positive=studio.positive + other))
    assert torch.allclose(both, alone[0] + alone[1], rtol=1e-3, atol=1e-4 * float(both.abs().max()))


def test_two_nodes_are_added(studio):
    """Each with a loss and a step of its own, in one run of the network."""
    cat, mat = excited(studio, "cat"), excited(studio, "mat", strength=2.0)
    calls = []
    both = excited(excited(studio, "cat"), "mat", strength=2.0)
    both.add_wrapper_with_key(
        WRAPPERS.DIFFUSION_MODEL, "count", lambda executor, *a, **k: calls.append(1) or executor(*a, **k)
    )
    wanted = shift_of(cat, studio) + shift_of(mat, studio)
    assert torch.allclose(shift_of(both, studio), wanted, rtol=1e-3, atol=1e-5 * float(wanted.abs().max()))
    assert len(calls) == 2


def test_the_word_that_fares_worst_counts(studio):
    """The loss of two words is the larger of their losses."""
    one, two, both = (shift_of(excited(studio, words), studio) for words in ("cat", "mat", "cat, mat"))
    assert torch.allclose(both, one, rtol=1e-4) != torch.allclose(both, two, rtol=1e-4)


def test_without_words_the_nouns(studio):
    assert torch.equal(shift_of(excited(studio, ""), studio), shift_of(excited(studio, "cat"), studio))


# -- what must stay as it is ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["strength 0", "no such word", "outside"])
def test_nothing_to_do(kind, case, caplog):
    settings = {
        "strength 0": {"strength": 0.0},
        "no such word": {"words": "horse"},
        "outside": {"start_percent": 0.98, "end_percent": 0.99},
    }[case]
    studio = rig.studio(kind)
    assert torch.equal(draw(excited(studio, **settings), studio), draw(studio.model, studio))
    said = " ".join(complaints(caplog))
    wanted = {"strength 0": "", "no such word": "“horse” is not in the prompt", "outside": "changed nothing"}[
        case
    ]
    assert wanted in said and len(complaints(caplog)) == (1 if wanted else 0)


def test_a_prompt_that_was_not_traced(studio, caplog):
    plain = rig.encode(rig.clip("sdxl"), "a cat that nobody has traced")
    both = [rig.sample(m, plain, studio.negative, **SHORT) for m in (excited(studio), studio.model)]
    assert torch.equal(*both) and "CLIP does not come from Record Attention or Attend and Excite" in " ".join(
        complaints(caplog)
    )


def test_its_own_clip(studio):
    model, clip = excite(studio.model, rig.clip("sdxl"), Excitement(("cat",)))
    positive = rig.encode(clip, "a red cat on a mat")
    assert torch.equal(rig.sample(model, positive, studio.negative, **SHORT), draw(excited(studio), studio))


def test_inpainting_leaves_what_is_kept(studio):
    """A mask's outside comes back as it was; inside, the picture is another one."""
    mask = torch.zeros(1, 1, 16, 24)
    mask[..., 12:] = 1
    latent = {
        "samples": torch.randn(1, 4, 16, 24, generator=torch.Generator().manual_seed(4)),
        "noise_mask": mask,
    }
    changed, plain = (
        draw(m, studio, latent=latent, steps=4) for m in (excited(studio, strength=5.0), studio.model)
    )
    assert torch.equal(changed[..., :12], plain[..., :12])
    assert not torch.equal(changed[..., 12:], plain[..., 12:])
    assert torch.equal(
        latent["samples"], torch.randn(1, 4, 16, 24, generator=torch.Generator().manual_seed(4))
    )


# -- the node -------------------------------------------------------------------------------------------------------


def test_the_node(comfy, kind):
    node = comfy.node_class("HRVAttendExcite")
    schema, inputs = node.GET_SCHEMA(), node.INPUT_TYPES()
    assert [i.id for i in schema.inputs] == [
        "model", "words", "strength", "start_percent", "end_percent", "vectors", "concept", "clip", "smoothing",
    ]  # fmt: skip
    assert [o.io_type for o in schema.outputs] == ["MODEL", "CLIP"]
    assert (
        inputs["required"]["start_percent"][1]["default"],
        inputs["required"]["end_percent"][1]["default"],
    ) == (0.0, 0.5)
    studio = rig.studio(kind)
    layout = studio.recording.layout
    votes = torch.randint(1, 50, (2, layout.heads), generator=torch.Generator().manual_seed(0))
    vectors = HeadRelevance.from_votes(("Animals", "Color"), votes, layout, {})
    model, clip = comfy.run_node(
        "HRVAttendExcite",
        model=studio.model,
        words="cat\nmat",
        strength=0.7,
        vectors=vectors,
        concept="color",
    )
    assert clip is None
    wanted = excited(studio, "cat, mat", strength=0.7, vectors=vectors, concept="Color")
    assert torch.equal(draw(model, studio), draw(wanted, studio))
    plain, clip = comfy.run_node(
        "HRVAttendExcite", model=studio.model, words="cat", strength=1.0, clip=rig.clip("sdxl")
    )
    assert "hrv_prompt" in rig.encode(clip, "a cat")[0][1]
    assert not torch.equal(draw(plain, studio), draw(model, studio))
    with pytest.raises(ValueError, match="no concept “Colour”"):
        comfy.run_node("HRVAttendExcite", model=studio.model, vectors=vectors, concept="Colour")
    wrong = HeadRelevance.from_votes(("A", "B"), torch.ones(2, 128, dtype=torch.int64), SD1, {})
    with pytest.raises(ValueError, match=f"for 128 heads.*has {layout.heads}|other parts of the network"):
        comfy.run_node("HRVAttendExcite", model=studio.model, vectors=wrong, concept="A")


def test_on_the_demo_checkpoint(comfy, caplog):
    """As a user has it: everything loaded by nodes, in inference mode."""
    model, clip, _ = comfy.run_node("HRVDemoCheckpoint")
    changed, traced = comfy.run_node("HRVAttendExcite", model=model, words="", strength=1.0, clip=clip)
    text = traced.encode_from_tokens_scheduled
    with torch.inference_mode():
        positive, negative = (text(traced.tokenize(t)) for t in ("a cat and a mug", ""))
    latent = rig.empty(1, 32, 32)
    both = [rig.sample(m, positive, negative, latent, steps=3, cfg=4.5) for m in (changed, model)]
    assert not torch.equal(*both) and complaints(caplog) == []
