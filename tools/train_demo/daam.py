"""DAAM on known masks, computed the plainest way and without the pack's recorder.

For an encoded and noised scene, one pass of the denoiser at each of several noise levels; a hook on every
cross-attention's to_q and to_k gives q and k, a float32 softmax over all tokens gives the probabilities.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from .draw import render
from .world import Scene, full_caption

TIMESTEPS = (900, 700, 500, 300, 100)  # chosen once, evenly; not tuned
THRESHOLDS = tuple(round(0.1 + 0.05 * i, 2) for i in range(17))


@dataclass(frozen=True)
class HeadMaps:
    """One scene: maps (head, token, height, width) on the largest grid, mean over the noise levels."""

    maps: torch.Tensor
    masks: np.ndarray


def noun_position(index: int) -> int:
    """Position of object `index`'s noun in `full_caption`, after the start token; every word is one token.

    "a large striped red star and a small plain blue fish on grass": 5 and 11.
    """
    return 5 + 6 * index


@torch.inference_mode()
def head_maps(model, clip, vae, scene: Scene, seed: int) -> HeadMaps:
    """Maps of all heads and prompt tokens for a rendered scene with its full caption."""
    picture, masks = render(scene)
    text = full_caption(scene)
    ((context, _),) = clip.encode_from_tokens_scheduled(clip.tokenize(text))
    latent = vae.encode(torch.from_numpy(picture)[None].float() / 255)
    base = model.model
    latent = base.process_latent_in(latent)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(seed))
    adm = torch.zeros(1, base.adm_channels)
    tokens = len(text.replace(",", " , ").split()) + 2
    sums: dict[str, torch.Tensor] = {}
    for timestep in TIMESTEPS:
        sigma = base.model_sampling.sigmas[timestep].view(1)
        for name, probs in _probabilities(base, latent + noise * sigma, sigma, context, adm).items():
            sums[name] = sums.get(name, 0) + probs[..., :tokens]
    largest = max(p.shape[1] for p in sums.values())
    grid = _grid(largest, latent.shape[-2:])
    maps = []
    for summed in sums.values():
        # summed: (head, pixel, token) → (head, token, height, width)
        own = summed.movedim(2, 1).unflatten(2, _grid(summed.shape[1], latent.shape[-2:])) / len(TIMESTEPS)
        maps.append(F.interpolate(own, size=grid, mode="bicubic").clamp(min=0))
    return HeadMaps(torch.cat(maps), masks)


def _grid(pixels: int, latent_size) -> tuple[int, int]:
    """Height and width of a level's grid with so many pixels."""
    for halvings in range(6):
        height, width = latent_size[0] >> halvings, latent_size[1] >> halvings
        if height * width == pixels:
            return height, width
    raise ValueError(f"No level of a {tuple(latent_size)} latent has {pixels} pixels.")


def _probabilities(base, x, sigma, context, adm) -> dict[str, torch.Tensor]:
    """float32 (head, pixel, token) of every cross-attention in one pass."""
    caught: dict[str, dict[str, torch.Tensor]] = {}
    hooks = []
    blocks = {n: m for n, m in base.diffusion_model.named_modules() if n.endswith("attn2")}
    for name, block in blocks.items():
        for part in ("to_q", "to_k"):

            def catch(module, inputs, output, name=name, part=part):
                caught.setdefault(name, {})[part] = output[0].float()

            hooks.append(getattr(block, part).register_forward_hook(catch))
    try:
        base.apply_model(x, sigma, c_crossattn=context, y=adm)
    finally:
        for hook in hooks:
            hook.remove()
    out = {}
    for name, block in blocks.items():
        # (token, head · channel) → (head, token, channel)
        q, k = (caught[name][p].unflatten(1, (block.heads, -1)).movedim(1, 0) for p in ("to_q", "to_k"))
        out[name] = torch.softmax(q @ k.transpose(1, 2) / q.shape[-1] ** 0.5, dim=-1)
    return out


def ious(word_map: torch.Tensor, mask: np.ndarray) -> np.ndarray:
    """IoU of one map (height, width) against a mask at every threshold: float (threshold,)."""
    full = F.interpolate(word_map[None, None], size=mask.shape, mode="bicubic")[0, 0].numpy()
    full = (full - full.min()) / max(full.max() - full.min(), 1e-12)
    return np.array([(full >= t)[mask].sum() / ((full >= t) | mask).sum() for t in THRESHOLDS])


def scene_ious(found: HeadMaps) -> tuple[np.ndarray, np.ndarray]:
    """DAAM's IoU (threshold,) and every single head's (head, threshold), mean over the scene's objects."""
    daam, single = [], []
    for index, mask in enumerate(found.masks):
        # of_word: (head, height, width)
        of_word = found.maps[:, noun_position(index)]
        daam.append(ious(of_word.mean(0), mask))
        single.append(np.stack([ious(one, mask) for one in of_word]))
    return np.mean(daam, axis=0), np.mean(single, axis=0)
