"""How far a latent moves, asked outside of a sampling, against what the sampler was given in it."""

import comfy.sampler_helpers
import comfy.samplers
import nodes
import pytest
import rig
import torch

from hrv_pack.host.effect.asking import follow
from hrv_pack.host.facts.guider import Guidance
from hrv_pack.hrv.recording.path import RecordedPath, Step

PLAIN = Guidance(comfy.samplers.CFGGuider, {"cfg": 3.0})


def held(kind: str, positive, negative=None, **more):
    """(model, path, steps, estimates) of a sampling at CFG 3, by what the sampler itself sees."""
    seen = []

    class Watched(comfy.samplers.CFGGuider):
        def predict_noise(self, x, timestep, model_options=None, seed=None):
            out = super().predict_noise(x, timestep, model_options or {}, seed)
            seen.append((Step(x.clone(), timestep.clone()), out.clone()))
            return out

    model = rig.tiny(kind)
    latent = more.get("latent", rig.empty(1, 8, 12))["samples"]
    guider = Watched(model)
    guider.set_conds(positive, negative or positive)
    guider.set_cfg(3.0)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(3))
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", 3)
    with torch.inference_mode():
        guider.sample(noise, latent, comfy.samplers.ksampler("euler"), sigmas, disable_pbar=True, seed=1)
    path = RecordedPath(latent, None, dict(guider.original_conds), PLAIN)
    return model, path, [step for step, _ in seen], [out for _, out in seen]


def conds(conditioning) -> list[dict]:
    return comfy.sampler_helpers.convert_cond(conditioning)


def nothing(done: int, total: int) -> None:
    pass


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_the_same_prompt_gives_what_the_sampler_got_and_moves_nothing(kind):
    positive, other, negative = (
        rig.encode(rig.clip(kind), text) for text in ("a red cat on a mat", "a dog", "")
    )
    model, path, steps, expected = held(kind, positive, negative, latent=rig.empty(2, 8, 12))
    done = []
    changed = [{"positive": conds(positive)}, {"positive": conds(other)}, {"negative": conds(other)}, {}]
    own, (same, different, against, unchanged) = follow(
        model, changed, steps, path, progress=lambda now, total: done.append((now, total))
    )
    assert len(own) == len(steps) == 3 and done[-1] == (15, 15)
    for found, sampled in zip(own, expected, strict=True):
        assert torch.allclose(found, sampled, atol=1e-4 * float(sampled.abs().max()))
    assert not same.moved.any() and not unchanged.moved.any() and not torch.stack(same.by_step).any()
    assert different.moved.shape == (2, 8, 12) and bool(different.moved.any()) and bool(against.moved.any())
    again, (known,) = follow(model, changed[1:2], steps, path, known=own, progress=nothing)
    assert torch.equal(known.moved, different.moved) and again == own


def test_areas_and_combined_prompts_act_as_in_the_sampling():
    left, right = (rig.encode(rig.clip("sd1"), text) for text in ("a red cat", "a dog"))
    (left,) = nodes.ConditioningSetArea().append(left, 48, 64, 0, 0, 1.0)
    (both,) = nodes.ConditioningCombine().combine(left, right)
    model, path, steps, expected = held("sd1", both)
    own, (same,) = follow(model, [{"positive": conds(both)}], steps, path, progress=nothing)
    for found, sampled in zip(own, expected, strict=True):
        assert torch.allclose(found, sampled, atol=1e-4 * float(sampled.abs().max()))
    assert not same.moved.any()


def test_conditionings_are_left_as_they_were_and_many_are_asked_in_turn():
    positive = rig.encode(rig.clip("sd1"), "a red cat")
    model, path, steps, _ = held("sd1", positive)
    lists = [conds(positive) for _ in range(19)]
    before = [dict(one[0]) for one in lists]
    _, found = follow(model, [{"positive": one} for one in lists], steps[:1], path, progress=nothing)
    assert [dict(one[0]) for one in lists] == before and len(found) == 19


def test_a_cancel_ends_it_at_once():
    positive = rig.encode(rig.clip("sd1"), "a red cat")
    model, path, steps, _ = held("sd1", positive)
    calls = []

    def stop(now, total):
        calls.append(now)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        follow(model, [{"positive": conds(positive)}] * 20, steps, path, progress=stop)
    assert calls == [1]
    assert not model.hook_patches and model.model_options.get("multigpu_thread_pool") is None
