"""What the effect nodes are held against: one evaluation of a model by hand, and the demo model with a run."""

import comfy.sampler_helpers
import comfy.samplers
import nodes
import rig
import torch

from hrv_pack.host.follow.recorder import RecordOptions, attach

LATENT = {"samples": torch.zeros(1, 4, 32, 32)}
PROMPT = "a large red star on sand"


@torch.inference_mode()
def estimate(model, conditioning, step) -> torch.Tensor:
    """What the model makes of a kept latent, (image, channel, height, width), float64: by the host's own guider at CFG 1."""
    conds = comfy.sampler_helpers.convert_cond(conditioning)
    guider, made = comfy.samplers.CFGGuider(model), []
    guider.original_conds = {"positive": conds, "negative": conds}

    class Once:
        def sample(self, guider, sigmas, extra, callback, noise, *rest):
            x, sigma = (one.to(model.load_device) for one in (step.x, step.sigma))
            made.append(guider(x, sigma, **extra).double().cpu())
            return noise

    guider.set_cfg(1.0)
    nothing = torch.zeros_like(step.x)
    guider.sample(nothing, nothing, Once(), torch.tensor([1.0, 0.0]), disable_pbar=True)
    return made[0]


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
    drawn = rig.sample(model, positive, negative, latent, seed=1, steps=steps, cfg=4.0)
    return model, traced, recording, drawn
