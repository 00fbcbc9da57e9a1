"""Why steering does or does not mend: which heads carry a word's meaning into the picture, and whether head relevance knows them.

For rendered scenes with noise, D is the denoised picture with the full caption, Δ = D − D with the word exchanged for another of its
kind. The effect of head n is ∂⟨D, Δ⟩ / ∂r_n / ⟨Δ, Δ⟩, r_n being its factor for the word: how far the picture goes from the other word's
towards the word's own for each unit of r_n. To first order, steering by r moves it by Σ_n (r_n − 1) · effect_n.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import bench
import numpy as np
import torch
from mending_cases import CONCEPT, a_scene

from hrv_pack.tools.train_demo.draw import render
from hrv_pack.tools.train_demo.world import full_caption

SEED = 990_001
PARTS_OF_SCHEDULE = (0.15, 0.4, 0.7)
OTHERS = {
    "kind": ("car", "tree"), "colour": ("red", "blue"), "pattern": ("plain", "dotted"), "size": ("small", "large"),
}  # fmt: skip


def effects(studio, scenes: int, progress: Callable[[int], None]) -> dict[str, object]:
    """Concept → effect of each head, float32 (head,), the mean over scenes and parts of the schedule."""
    rng = np.random.default_rng(SEED)
    sums: dict[str, list] = {concept: [] for concept in CONCEPT.values()}
    sampling = studio.model.get_model_object("model_sampling")
    for number in range(scenes):
        scene = a_scene(rng, 0.0)
        (thing,) = scene.things
        picture = torch.from_numpy(render(scene)[0])[None].float() / 255
        latent = studio.encoder(picture.permute(0, 3, 1, 2))
        noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(SEED + number))
        for part in PARTS_OF_SCHEDULE:
            sigma = torch.tensor([float(sampling.percent_to_sigma(part))])
            noisy = sampling.noise_scaling(sigma.view(-1, 1, 1, 1), noise, latent)
            for question, concept in CONCEPT.items():
                word = getattr(thing, question)
                other = next(one for one in OTHERS[question] if one != word)
                exchanged = dataclasses.replace(
                    scene, things=(dataclasses.replace(thing, **{question: other}),)
                )
                texts = full_caption(scene), full_caption(exchanged)
                sums[concept].append(_effect(studio, noisy, sigma, texts, word))
        progress(number + 1)
    return {concept: torch.stack(found).mean(0) for concept, found in sums.items()}


def _effect(studio, noisy, sigma, texts: tuple[str, str], word: str):
    """float32 (head,) for one noisy latent."""
    from hrv_pack.host.text.clip_trace import TAG

    layout = next(iter(studio.vectors.values())).layout
    with torch.no_grad():
        ((context, facts),), ((other, _),) = (
            studio.clip.encode_from_tokens_scheduled(studio.clip.tokenize(text)) for text in texts
        )
        columns = list(facts[TAG].find(word).columns)
        away = denoised(studio, noisy, sigma, other, torch.ones(layout.heads), columns)
    factors = torch.ones(layout.heads, requires_grad=True)
    with torch.enable_grad():
        here = denoised(studio, noisy, sigma, context.clone(), factors, columns)
        delta = (here - away).detach()
        (gradient,) = torch.autograd.grad((here * delta).sum() / delta.square().sum(), factors)
    return gradient


def denoised(studio, noisy, sigma, context, factors, columns: list[int]):
    """What the network takes the picture for, (1, channel, height, width), the words' values multiplied as in steering."""
    from comfy.ldm.modules.attention import optimized_attention

    network = studio.model.model
    layout = next(iter(studio.vectors.values())).layout
    chosen = torch.zeros(context.shape[1], 1)
    chosen[columns] = 1

    def layer(number: int):
        heads = layout.blocks[number].heads

        def replacement(q, k, v, extra):
            table = 1 + chosen * (factors[layout.span(number)] - 1)  # (token, head)
            steered = v.unflatten(-1, (heads, -1)) * table[None, :, :, None]
            return optimized_attention(q, k, steered.flatten(-2), heads)

        return replacement

    entries = {block.key: layer(number) for number, block in enumerate(layout.blocks)}
    return network.apply_model(
        noisy, sigma, c_crossattn=context, y=torch.zeros(1, network.adm_channels),
        transformer_options={"patches_replace": {"attn2": entries}},
    )  # fmt: skip


def table(found: dict[str, object], vectors: dict) -> str:
    """Markdown: for each concept what multiplying does to the word's effect, to first order."""
    columns = "concept | ten strongest heads carry | heads by | agreement with the effect | strength 1 changes the effect by | of that, heads below average"
    rows = []
    for concept, effect in found.items():
        strongest = effect.abs().sort(descending=True).values[:10].sum() / effect.abs().sum()
        total = effect.sum()
        for name, relevance in vectors.items():
            h = relevance.of(concept)
            same = torch.corrcoef(torch.stack([h, effect]))[0, 1]
            change, below = ((effect * x).sum() / total for x in (h - 1, (h - 1).clamp(max=0)))
            rows.append(
                (concept, f"{strongest:.0%}", name, f"{same:+.2f}", f"{change:+.0%}", f"{below:+.0%}")
            )
    return bench.markdown(columns, rows)
