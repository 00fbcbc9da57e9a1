"""Post-softmax probabilities of words that are not in the prompt: each competes with the prompt's columns, as if it stood beside them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .probabilities import pixels_at_once


@torch.no_grad()
def asked_probabilities(
    q: torch.Tensor,
    k: torch.Tensor,
    heads: int,
    asked: torch.Tensor,
    lengths: Sequence[int],
    *,
    into: torch.Tensor | None = None,
) -> torch.Tensor:
    """P[x, j] = exp l_j / (Σ_prompt exp l + Σ_{the word of j} exp l), l = q · k / √d (docs/formulas.md, "Words that are not in the prompt").

    q: (row, pixel, heads · d); k: (row, token, heads · d), of the prompt, without repeats; asked: (token, heads · d), the words one behind the
    other; lengths: the tokens of each. into: float32 (row, head, token, pixel) that P is added to. Returns `into` or a new one, computed in
    float32. Words do not see each other. Raises ValueError where shapes do not fit.
    """
    rows, pixels, width = q.shape
    tokens = asked.shape[0]
    if width % heads or k.shape[0] != rows or k.shape[2] != width or asked.shape != (sum(lengths), width):
        raise ValueError(
            f"queries {tuple(q.shape)}, keys {tuple(k.shape)} and words {tuple(asked.shape)} do not fit {heads} heads and {sum(lengths)} tokens"
        )
    if into is None:
        into = q.new_zeros((rows, heads, pixels, tokens), dtype=torch.float32).transpose(-1, -2)
    words, first = [], 0
    for length in lengths:
        words.append(slice(first, first + length))
        first += length
    scale = (width // heads) ** -0.5
    own = _by_head(asked, heads).transpose(1, 2) * scale  # (head, d, token)
    chunk = pixels_at_once(pixels, heads * (k.shape[1] + tokens) * 4, q.device)
    for row in range(rows):
        queries, prompt = _by_head(q[row], heads), _by_head(k[row], heads).transpose(1, 2) * scale
        sums = into[row].transpose(-1, -2)  # (head, pixel, token)
        for first in range(0, pixels, chunk):
            part = slice(first, first + chunk)
            of_prompt = (queries[:, part] @ prompt).logsumexp(-1, keepdim=True)  # all its columns as one
            of_words = queries[:, part] @ own
            for word in words:
                sums[:, part, word] += torch.cat([of_prompt, of_words[..., word]], -1).softmax(-1)[..., 1:]
    return into


def _by_head(vectors: torch.Tensor, heads: int) -> torch.Tensor:
    """(pixel or token, heads · d) → float32 (head, pixel or token, d)."""
    return vectors.float().unflatten(-1, (heads, -1)).transpose(0, 1)
