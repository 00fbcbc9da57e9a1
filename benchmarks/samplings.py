"""Samplings that benchmarks time: with something of the pack and without, and the random prompts of full-size networks."""

from collections.abc import Callable


def pair(plain, changed, positive, negative, side: int, steps: int, before: Callable = lambda: None):
    """Two functions that sample with either model, after `before()`; the latents, of `side` pixels, must be the same."""
    import rig
    import torch

    latents = []

    def sample(model):
        before()
        latent = {"samples": torch.zeros(1, 4, side, side)}
        latents.append(rig.sample(model, positive, negative, latent, steps=steps))
        if not torch.equal(latents[0], latents[-1]):
            raise SystemExit("The pack changed the latent.")

    return (lambda: sample(plain)), (lambda: sample(changed))


def prompts(width: int, text: str = "a photo of a red car beside an old stone bridge", pooled: int = 1280):
    """(positive, negative) of this many channels: random numbers, the positive ones with this text's words."""
    import models

    from hrv_pack.host.text.clip_trace import TAG, tokenize_text

    positive, negative = (models.conditioning(77, width, seed=seed, pooled=pooled) for seed in (1, 2))
    positive[0][1][TAG] = tokenize_text(text)
    return positive, negative
