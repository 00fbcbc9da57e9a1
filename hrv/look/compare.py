"""What Compare Concepts does: one word seen by the heads of several concepts, and which of them it was drawn as.

Formula: docs/formulas.md, "Which concept".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..maps.bicubic import resize
from ..maps.head_maps import head_spreads
from ..maps.lookup import find_word, heads_text, names_of, prompts_of, targets_of_unit
from ..maps.mask import MASK_THRESHOLD, threshold_mask
from ..maps.pairing import drawn_size, pair, warnings_of
from ..maps.word_maps import Target, word_maps
from ..prompt import Prompt, split_names
from ..recording.recording import Match, Recording
from ..relevance.agreement import is_agreement
from ..relevance.concept_scores import WordEvidence, leanings, painted
from ..relevance.vectors import PERCENT, HeadRelevance
from ..wording import said
from .compare_page import Tile, comparison_picture

SHARPNESS = 20.0  # so that shares are about how often such a verdict is right (docs/results.md)
DOUBT = 0.6  # below this part of the two largest shares, the larger is no verdict
LONELY = said(
    "The prompt has no other word to compare this one with. Add a few words, such as a place or “a photo of”."
)
FOR_MASKS = said(
    "These vectors were built by agreement, which is meant for clean masks; do not trust them for word "
    "senses. Load vectors built by votes, such as the published ones."
)


@dataclass(frozen=True)
class Comparison:
    """grid: (image, height, width, 3); masks: (image · concept, height, width), all concepts of the first image,
    then of the next; verdict: one line for each image; shares: {concept: share} for each image, adding up to 1; names: of
    all words that can be asked for."""

    grid: torch.Tensor
    masks: torch.Tensor
    verdict: str
    shares: list[dict[str, float]]
    warnings: list[str]
    names: list[str]


def compare(
    recording: Recording,
    latent: torch.Tensor,
    word: str,
    vectors: HeadRelevance,
    concepts: str = "",
    *,
    percent: float = PERCENT,
    image: torch.Tensor | None = None,
    prompt_text: str = "",
    tokenize: Callable[[str], Prompt] | None = None,
) -> Comparison:
    """Maps, masks and shares of a word for each of the concepts.

    concepts: names split by commas or line ends; empty: all that the vectors have. image: (batch, height, width,
    channel) or None. prompt_text, read by `tokenize`, stands in where the text of a conditioning is not known.
    Raises NoRecording, WordNotFound, and ValueError for unknown concepts, fewer than two, or another model's vectors.
    """
    names = named_concepts(vectors, concepts)
    matches, pictures = pair(recording, latent, image)
    size = drawn_size(latent, image)
    rows, masks, verdicts, shares = [], [], [], []
    warnings = [*warnings_of(matches), *([FOR_MASKS] if is_agreement(vectors) else [])]
    for number, (match, picture) in enumerate(zip(matches, pictures, strict=True)):
        vectors.check(match.run.layout)
        entries = match.run.of_role("positive")
        prompts = prompts_of(entries, "positive", prompt_text, tokenize)
        target = find_word(word, entries, prompts)
        words = targets_of_unit(entries, prompts, "words")
        if len(words) < 2 and LONELY not in warnings:
            warnings.append(LONELY)
        share = concept_shares(match, target, list(words.values()), vectors, names)
        sentence = verdict(word, share)
        tiles = []
        for name in (None, *names):
            heads = None if name is None else vectors.select(name, percent)
            (heat,) = resize(word_maps(match, [target], heads), size)
            mask = threshold_mask(heat[None], MASK_THRESHOLD)[0]
            if name is not None:
                masks.append(mask)
            title = "all heads" if name is None else f"{name} {share[name]:.2f}"
            tiles.append(Tile(title, heads_text(match, entries[0], heads), heat, mask))
        heading = f"image {number + 1}: {sentence}" if len(matches) > 1 else sentence
        rows.append(comparison_picture(heading, picture, tiles))
        verdicts.append(heading)
        shares.append(share)
    return Comparison(
        torch.stack(rows),
        torch.stack(masks),
        "\n".join(verdicts),
        shares,
        warnings=warnings,
        names=names_of(matches, prompt_text=prompt_text, tokenize=tokenize),
    )


def named_concepts(vectors: HeadRelevance, text: str) -> list[str]:
    """The concepts that are meant, as the vectors write them, each once. Raises ValueError for fewer than two."""
    asked = split_names(text) or list(vectors.concepts)
    names = list(dict.fromkeys(vectors.concepts[vectors.index(name)] for name in asked))
    if len(vectors.concepts) < 2:
        raise ValueError(
            f"These vectors have only one concept, {names[0]}; a comparison needs at least two. Pick others "
            "in Load Head Relevance."
        )
    if len(names) < 2:
        raise ValueError(
            f"Only {names[0]} is named in concepts; a comparison needs at least two. These vectors have: "
            f"{', '.join(vectors.concepts)}."
        )
    return names


def evidence_of(
    match: Match, target: Target, words: Sequence[Target], vectors: HeadRelevance, concepts: Sequence[str]
) -> WordEvidence:
    """What the score of hrv/relevance/concept_scores.py reads. words: all words of the prompt, the asked one among them."""
    usual = torch.stack([head_spreads(match, word) for word in words]).sum(0)
    return WordEvidence(head_spreads(match, target), usual, leanings(vectors, concepts))


def concept_shares(
    match: Match, target: Target, words: Sequence[Target], vectors: HeadRelevance, concepts: Sequence[str]
) -> dict[str, float]:
    """How much of the word each concept takes: positive, adding up to 1."""
    scores = painted(evidence_of(match, target, words, vectors, concepts))
    return dict(zip(concepts, shares_of(scores), strict=True))


def shares_of(scores: torch.Tensor) -> list[float]:
    """score^SHARPNESS / Σ score^SHARPNESS; even shares where every score is 0."""
    powers = (scores / scores.max().clamp(min=torch.finfo(torch.float32).tiny)).double() ** SHARPNESS
    total = powers.sum()
    return (powers / total if total > 0 else torch.full_like(powers, 1 / len(powers))).tolist()


def verdict(word: str, shares: dict[str, float]) -> str:
    """The shares, largest first, and what they mean, in one line."""
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    (first, most), (second, next_most) = ordered[:2]
    listed = ", ".join(f"{share:.2f} {name}" for name, share in ordered[:4])
    rest = f" and {len(ordered) - 4} more" if len(ordered) > 4 else ""
    if most < DOUBT * (most + next_most):
        meaning = f"doubtful, {first} and {second} are nearly even"
    else:
        meaning = f"the model drew it as {first}"
    return f"{' '.join(word.split())}: {listed}{rest}: {meaning}"
