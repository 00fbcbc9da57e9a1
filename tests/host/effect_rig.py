"""What the effect nodes are held against: one evaluation of a model by hand, and the demo model with a run."""

import comfy.sampler_helpers
import comfy.samplers
import nodes
import rig
import torch

from hrv_pack.host.follow.recorder import RecordOptions, attach

LATENT = {"samples": torch.zeros(1, 4, 32, 32)}
PROMPT = "a large red star on sand"


CFG = 4.0


@torch.inference_mode()
def estimate(model, conditioning, x, sigma) -> torch.Tensor:
    """What the model makes of a latent, (image, channel, …, height, width), float64: by the host's own guider at CFG 1."""
    conds = comfy.sampler_helpers.convert_cond(conditioning)
    guider, made = comfy.samplers.CFGGuider(model), []
    guider.original_conds = {"positive": conds, "negative": conds}

    class Once:
        def sample(self, guider, sigmas, extra, callback, noise, *rest):
            here = (one.to(model.load_device) for one in (x, sigma))
            made.append(guider(*here, **extra).double().cpu())
            return noise

    guider.set_cfg(1.0)
    nothing = torch.zeros_like(x)
    guider.sample(nothing, nothing, Once(), torch.tensor([1.0, 0.0]), disable_pbar=True)
    return made[0]


def guided(model, positive, negative, x, sigma, cfg: float = CFG) -> torch.Tensor:
    """The same with guidance, by hand."""
    against = estimate(model, negative, x, sigma)
    return against + cfg * (estimate(model, positive, x, sigma) - against)


def moved(steps, before, after) -> torch.Tensor:
    """How far the latent of one image moves, (channel, …, height, width), by hand: two samplings between the same noise levels, one of which
    is held where the run was. before, after: (x, sigma) → what the model makes of it."""
    apart = torch.zeros_like(steps[0].x).double()
    sigmas = [*(float(step.sigma.flatten()[0]) for step in steps), 0.0]
    for step, sigma, following in zip(steps, sigmas, sigmas[1:], strict=False):
        own = before(step.x, step.sigma)
        other = after((step.x + apart).to(step.x), step.sigma)
        slope = (step.x - own) / sigma, (step.x + apart - other) / sigma
        apart = apart + (slope[1] - slope[0]) * (following - sigma)
    return apart[0]


def size(moved: torch.Tensor) -> float:
    """√ of the mean over pixels of the sum over channels of the square; the mean over frames where there are any."""
    return float(moved.square().sum(0).mean()) ** 0.5


@torch.inference_mode()
def text(clip, words: str):
    """What CLIPTextEncode gives."""
    return nodes.CLIPTextEncode().encode(clip, words)[0]


def recorded(demo, positive=None, negative=None, latent=LATENT, steps: int = 4):
    """(model, clip, recording, latent) of one sampling. positive, negative: made of the traced CLIP, else those of PROMPT and nothing."""
    model, traced, recording = attach(*demo[:2], RecordOptions())
    positive = positive(traced) if positive else text(traced, PROMPT)
    negative = negative(traced) if negative else text(traced, "")
    rig.warm(demo[0], positive, negative, latent)
    drawn = rig.sample(model, positive, negative, latent, seed=1, steps=steps, cfg=CFG)
    return model, traced, recording, drawn
