"""What a model makes of a latent, asked outside of a sampling, against what the sampler was given in it."""

import comfy.sampler_helpers
import comfy.samplers
import nodes
import pytest
import rig
import torch

from hrv_pack.host.effect.asking import estimates
from hrv_pack.hrv.recording.path import RecordedPath, Step


def held(kind: str, positive, **more):
    """(steps, estimates for the positive prompt alone) of a sampling at CFG 1, by what the sampler itself sees."""
    seen = []

    class Watched(comfy.samplers.CFGGuider):
        def predict_noise(self, x, timestep, model_options=None, seed=None):
            out = super().predict_noise(x, timestep, model_options or {}, seed)
            seen.append((Step(x.clone(), timestep.clone()), out.clone()))
            return out

    model = rig.tiny(kind)
    latent = more.get("latent", rig.empty(1, 8, 12))["samples"]
    guider = Watched(model)
    guider.set_conds(positive, positive)
    guider.set_cfg(1.0)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(3))
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", 3)
    with torch.inference_mode():
        guider.sample(noise, latent, comfy.samplers.ksampler("euler"), sigmas, disable_pbar=True, seed=1)
    return model, latent, [step for step, _ in seen], [out for _, out in seen]


def conds(conditioning) -> list[dict]:
    return comfy.sampler_helpers.convert_cond(conditioning)


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_the_same_prompt_gives_what_the_sampler_got(kind):
    positive, other = (rig.encode(rig.clip(kind), text) for text in ("a red cat on a mat", "a dog"))
    model, latent, steps, expected = held(kind, positive, latent=rig.empty(2, 8, 12))
    done = []
    found = estimates(
        model, [conds(positive), conds(other), conds(positive)], steps, RecordedPath(latent, None, {}),
        progress=lambda now, total: done.append((now, total)),
    )  # fmt: skip
    assert len(found) == len(steps) == 3 and done[-1] == (9, 9)
    for (same, different, again), sampled in zip(found, expected, strict=True):
        assert torch.allclose(same, sampled, atol=1e-4 * float(sampled.abs().max()))
        assert torch.equal(same, again) or torch.allclose(same, again, atol=1e-5 * float(same.abs().max()))
        assert not torch.allclose(same, different, rtol=1e-3)


def test_areas_and_combined_prompts_act_as_in_the_sampling():
    left, right = (rig.encode(rig.clip("sd1"), text) for text in ("a red cat", "a dog"))
    (left,) = nodes.ConditioningSetArea().append(left, 48, 64, 0, 0, 1.0)
    (both,) = nodes.ConditioningCombine().combine(left, right)
    model, latent, steps, expected = held("sd1", both)
    found = estimates(
        model, [conds(both)], steps, RecordedPath(latent, None, {}), progress=lambda now, total: None
    )
    for (same,), sampled in zip(found, expected, strict=True):
        assert torch.allclose(same, sampled, atol=1e-4 * float(sampled.abs().max()))


def test_conditionings_are_left_as_they_were_and_many_are_asked_in_turn():
    positive = rig.encode(rig.clip("sd1"), "a red cat")
    model, latent, steps, _ = held("sd1", positive)
    lists = [conds(positive) for _ in range(19)]
    before = [dict(one[0]) for one in lists]
    found = estimates(
        model, lists, steps[:1], RecordedPath(latent, None, {}), progress=lambda now, total: None
    )
    assert [dict(one[0]) for one in lists] == before and len(found[0]) == 19


def test_a_cancel_ends_it_at_once():
    positive = rig.encode(rig.clip("sd1"), "a red cat")
    model, latent, steps, _ = held("sd1", positive)

    def stop(now, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        estimates(model, [conds(positive)] * 20, steps, RecordedPath(latent, None, {}), progress=stop)
    assert not model.hook_patches and model.model_options.get("multigpu_thread_pool") is None
