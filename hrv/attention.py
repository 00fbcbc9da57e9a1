"""Post-softmax probabilities of a cross-attention layer, for the columns worth keeping."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch

LOGITS_BYTES = 64 * 2**20
"""Upper bound on the scratch memory for one group of heads, so that a long prompt on a large picture fits."""


def column_probabilities(
    q: torch.Tensor, k: torch.Tensor, heads: int, columns: Sequence[int], length: int
) -> torch.Tensor:
    """P = softmax(Q Kᵀ / √d) over all tokens, then only some of its columns (docs/formulas.md, "Recording").

    q: (row, pixel, heads · d); k: (row, token, heads · d) as they enter the attention.
    columns: which of the `length` columns of the conditioning to keep. ComfyUI pads prompts of unequal
    length by repeating them; columns that are repeats of each other are summed.
    Returns float32 (row, head, column, pixel), computed in float32 whatever the type of q and k.
    Raises ValueError when the number of tokens is not a multiple of `length`.
    """
    rows, pixels, width = q.shape
    tokens = k.shape[1]
    repeats, rest = divmod(tokens, length)
    if rest or width % heads or k.shape != (rows, tokens, width):
        raise ValueError(
            f"queries {tuple(q.shape)} and keys {tuple(k.shape)} do not fit {heads} heads and {length} columns"
        )
    d = width // heads
    # (row, head, token, d) and (row, head, d, pixel)
    keys = k.reshape(rows, tokens, heads, d).permute(0, 2, 1, 3)
    queries = q.reshape(rows, pixels, heads, d).permute(0, 2, 3, 1)
    kept = _kept(tuple(columns), repeats, length, q.device)
    out = q.new_empty((rows, heads, len(columns), pixels), dtype=torch.float32)
    step = max(1, LOGITS_BYTES // (rows * tokens * pixels * 4))
    for first in range(0, heads, step):
        group = slice(first, first + step)
        logits = (keys[:, group].float() * d**-0.5) @ queries[:, group].float()  # (row, head, token, pixel)
        kept_columns = torch.softmax(logits, dim=-2).index_select(-2, kept)
        out[:, group] = kept_columns.unflatten(-2, (repeats, len(columns))).sum(dim=-3)
    return out


@lru_cache(maxsize=64)
def _kept(columns: tuple[int, ...], repeats: int, length: int, device: torch.device) -> torch.Tensor:
    """Indices of the kept columns and their repeats; remembered, because sending them to a GPU waits for it."""
    return torch.tensor(
        [c + r * length for r in range(repeats) for c in columns], device=device, dtype=torch.int64
    )
