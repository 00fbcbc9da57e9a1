"""What the tests of steering share: what every cross-attention should have given by the plainest computation,
P · r · V with every matrix written out.

    with rig.watch(model) as calls: rig.sample(…)
    assert_steered(calls, layout, [(embedding, {column: factors})])
"""

from __future__ import annotations

import rig
import torch

from hrv_pack.hrv.heads.selection import HeadSelection
from hrv_pack.hrv.relevance.vectors import HeadRelevance
from hrv_pack.hrv.steer.factors import Where, scale, strengthen

TOLERANCE = 1e-5


def vectors_for(layout, seed: int = 0) -> HeadRelevance:
    votes = torch.randint(0, 50, (3, layout.heads), generator=torch.Generator().manual_seed(seed))
    return HeadRelevance.from_votes(("Animals", "Color", "Size"), votes, layout, {})


def some_heads(layout, every: int = 3) -> HeadSelection:
    return HeadSelection(layout, (torch.arange(layout.heads) % every == 0).float(), "every third head")


def strengthening(layout, words: str = "cat", strength: float = 1.0, **when):
    return strengthen(vectors_for(layout), "Animals", strength, 0.0, Where(words, **when))


def scaling(layout, words: str = "cat", factor: float = -2.0, **when):
    return scale(some_heads(layout), factor, Where(words, **when))


def plain_attention(call: rig.Call, number: int, heads: int, factors: torch.Tensor) -> torch.Tensor:
    """Σ_j P[x, j] · r[j] · V[j] in float64: (row, pixel, heads · d). factors: (row, head, token)."""
    p = rig.probabilities(call, number, heads)
    v = call.v[number].double().unflatten(-1, (heads, -1)).transpose(1, 2)
    return ((p * factors.double()[:, :, None]) @ v).transpose(1, 2).flatten(-2)


def assert_steered(calls: list[rig.Call], layout, steered: list, change=None, size=None) -> int:
    """Every layer of every call gave P · r · V. Returns the number of rows that had to be steered.

    steered: (embedding (1, token, channel), {column: float32 (head,)}) of each conditioning that is steered; every row
    with another context must be as it is. change(call, number, text): what another pack makes of the attention.
    size: only rows of calls on a latent of this size are to be steered.
    """
    count = 0
    for call in calls:
        tokens = call.context.shape[1]
        table = torch.ones(call.context.shape[0], layout.heads, tokens)
        for embedding, columns in steered:
            repeats, rest = divmod(tokens, embedding.shape[1])
            if rest or (size is not None and call.shape[-2:] != size):
                continue
            same = (call.context == embedding.to(call.context).repeat(1, repeats, 1)).flatten(1).all(1)
            count += int(same.sum())
            for column, factors in columns.items():
                for repeat in range(repeats):
                    table[same, :, column + repeat * embedding.shape[1]] *= factors
        assert len(call.out) == len(layout.blocks)
        for number, block in enumerate(layout.blocks):
            factors = table[:, layout.span(number)]
            wanted = plain_attention(call, number, block.heads, factors)
            if change is not None:
                wanted = change(call, number, wanted)
            error = (call.out[number].double() - wanted).abs().max().item()
            assert error <= TOLERANCE, f"layer {block}: off by {error}"
    return count


def columns_of(steering, embedding_prompt) -> dict[int, torch.Tensor]:
    """{column: factors} of the words that a steering names, in a prompt."""
    return {c: steering.factors for word in steering.words for c in embedding_prompt.find(word).columns}


def draw(model, studio, **options) -> torch.Tensor:
    return rig.sample(model, studio.positive, studio.negative, **options)
