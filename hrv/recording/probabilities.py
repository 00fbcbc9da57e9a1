"""Post-softmax probabilities of a cross-attention layer, for the columns worth keeping."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch

CACHE_BYTES = 3 * 2**19
"""Logits of one chunk of pixels for each thread of the CPU: small enough to stay in its cache from step to step."""
GPU_BYTES = 32 * 2**20
"""Logits of one chunk of pixels on other devices: large enough to keep them busy, small beside the model."""
LANES = 16
"""Tokens are filled up to a multiple of this many: matrix products of such widths run fastest."""


@torch.no_grad()
def column_probabilities(
    q: torch.Tensor,
    k: torch.Tensor,
    heads: int,
    columns: Sequence[int],
    length: int,
    *,
    into: torch.Tensor | None = None,
) -> torch.Tensor:
    """P = softmax(Q Kᵀ / √d) over all tokens, then only some of its columns (docs/formulas.md, "Recording").

    q: (row, pixel, heads · d); k: (row, token, heads · d) as they enter the attention.
    columns: which of the `length` columns of the conditioning to keep. ComfyUI pads prompts of unequal
    length by repeating them; columns that are repeats of each other are summed.
    into: float32 (row, head, column, pixel) that P is added to, so that P itself takes no memory.
    Returns float32 (row, head, column, pixel), `into` or a new one, computed in float32 whatever the type of q and k.
    Column lies next to column in memory, not pixel next to pixel: that is how the product gives them.
    Raises ValueError when the number of tokens is not a multiple of `length`.
    """
    rows, pixels, width = q.shape
    tokens = k.shape[1]
    repeats, rest = divmod(tokens, length)
    if rest or width % heads or k.shape != (rows, tokens, width):
        raise ValueError(
            f"queries {tuple(q.shape)} and keys {tuple(k.shape)} do not fit {heads} heads and {length} columns"
        )
    if into is None:
        into = q.new_zeros((rows, heads, pixels, len(columns)), dtype=torch.float32).transpose(-1, -2)
    k = _kept_first(k, tuple(columns), repeats, length)
    chunk = pixels_at_once(pixels, heads * _filled(tokens) * 4, q.device)
    for row in range(rows):
        keys = _keys(k[row], heads)
        queries = q[row].unflatten(-1, (heads, -1)).transpose(0, 1)  # (head, pixel, d)
        sums = into[row].transpose(-1, -2)  # (head, pixel, column)
        for first in range(0, pixels, chunk):
            part = slice(first, first + chunk)
            _add(sums[:, part], queries[:, part].float(), keys, tokens, repeats)
    return into


def _add(sums: torch.Tensor, queries: torch.Tensor, keys: torch.Tensor, tokens: int, repeats: int) -> None:
    """Adds P of one chunk of pixels. sums: (head, pixel, column), the first columns of the tokens, `repeats` times over.
    queries: (head, pixel, d). keys: as `_keys` gives them.

    P = exp(l) / Σ exp(l), l being the logits less those of one token. On the CPU nothing else is subtracted: the sum is at
    least 1, so it can only overflow, which is looked for, and then done again in the stable way. Looking would make
    another device wait, so it takes the stable way at once.
    """
    kept = sums.shape[-1]
    logits = _logits(queries, keys)
    if may_look(queries.device):
        shares = logits.exp_()
        counted = _counted(tokens, keys.shape[-1])
        totals = (shares.flatten(0, 1) @ counted).unflatten(0, shares.shape[:2]).unsqueeze(-1)
        if sum_is_finite(totals):
            totals.reciprocal_()
            for repeat in range(repeats):
                sums.addcmul_(shares[..., repeat * kept : (repeat + 1) * kept], totals)
            return
        logits = _logits(queries, keys)
    p = torch.softmax(logits[..., :tokens], dim=-1)
    for repeat in range(repeats):
        sums.add_(p[..., repeat * kept : (repeat + 1) * kept])


def may_look(device: torch.device) -> bool:
    """Whether looking at a value is free; other devices would have to be waited for."""
    return device.type == "cpu"


def sum_is_finite(totals: torch.Tensor) -> bool:
    return float(totals.amax()) < math.inf


def _logits(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """q · k / √d as float32 (head, pixel, token)."""
    shape = (*queries.shape[:2], keys.shape[-1])
    unused = queries.new_zeros(1).expand(shape)  # not empty: MPS adds 0 · unused, and 0 · NaN is NaN
    return torch.baddbmm(unused, queries, keys, beta=0, alpha=queries.shape[-1] ** -0.5)


def _keys(k: torch.Tensor, heads: int) -> torch.Tensor:
    """Keys of one row, (token, heads · d), as float32 (head, d, token); on the CPU less the first key and
    filled up with zeros.

    Taking one key from all takes the same from all logits of a pixel, which a softmax does not see.
    """
    by_head = k.float().unflatten(-1, (heads, -1)).permute(1, 2, 0)
    if not may_look(k.device):
        return by_head
    tokens = by_head.shape[-1]
    keys = by_head.new_empty((*by_head.shape[:2], _filled(tokens)))
    torch.sub(by_head, by_head[..., :1], out=keys[..., :tokens])
    keys[..., tokens:] = 0
    return keys


def _kept_first(k: torch.Tensor, columns: tuple[int, ...], repeats: int, length: int) -> torch.Tensor:
    """Keys (row, token, heads · d) in another order: the kept columns of each repeat, then what is left."""
    if repeats == 1 and columns == tuple(range(len(columns))):
        return k
    return k.index_select(1, _order(columns, repeats, length, k.device))


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A small tensor of the CPU on another device, without waiting where that is safe: CUDA takes a copy at once, MPS may
    read the memory after it was freed."""
    return tensor.to(device, non_blocking=device.type == "cuda")


@lru_cache(maxsize=64)
def _order(columns: tuple[int, ...], repeats: int, length: int, device: torch.device) -> torch.Tensor:
    """Remembered, because sending it to a GPU waits for it."""
    if not all(0 <= column < length for column in columns):  # a GPU would stop the whole process
        raise ValueError(f"columns {min(columns)} to {max(columns)} of a conditioning that has {length}")
    kept = [column + repeat * length for repeat in range(repeats) for column in columns]
    left = sorted(set(range(repeats * length)).difference(kept))
    return torch.tensor(kept + left, device=device, dtype=torch.int64)


@lru_cache(maxsize=16)
def _counted(tokens: int, filled: int) -> torch.Tensor:
    """(token,): 1 for tokens, 0 for what was filled up."""
    return (torch.arange(filled) < tokens).float()


def _filled(tokens: int) -> int:
    return -(-tokens // LANES) * LANES


def pixels_at_once(pixels: int, pixel_bytes: int, device: torch.device, elsewhere: int = GPU_BYTES) -> int:
    """Pixels of one chunk: as many chunks of about the same size as the scratch memory asks for. elsewhere: its bytes on other devices
    than the CPU."""
    scratch = CACHE_BYTES * torch.get_num_threads() if device.type == "cpu" else elsewhere
    chunks = -(-pixels * pixel_bytes // scratch)
    return max(1, -(-pixels // chunks)) if chunks > 1 else max(1, pixels)
