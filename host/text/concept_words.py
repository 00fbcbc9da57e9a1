"""Encodes words with a CLIP, each on its own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch

from ...hrv.prompt import END, PAD, START
from ...hrv.relevance.concepts import ConceptWords
from ...hrv.relevance.votes import EncodedWords
from ..facts.text_encoder import CHUNK
from .text_registry import TextRegistry

AT_ONCE = 32  # chunks that the text encoder is given in one call
NOT_CONTENT = (START, END, PAD)


@torch.inference_mode()
def encode_words(clip, words: ConceptWords) -> EncodedWords:
    """The embeddings of all words (in memory, not on the GPU). Raises ValueError for a text encoder that is not one of Stable Diffusion's."""
    start, rows = encode_each(clip, [word for of_concept in words.words.values() for word in of_concept])
    ends = list(accumulate((len(row) for row in rows), initial=1))
    spans = iter(zip(ends, ends[1:]))
    by_concept = tuple(tuple(next(spans) for _ in of_concept) for of_concept in words.words.values())
    return EncodedWords(torch.cat([start, *rows]).cpu(), by_concept)


@torch.inference_mode()
def encode_each(clip, words: Sequence[str]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """(the start token's embedding (1, channel), for each word those of its content tokens (token, channel)), each word encoded on its own.

    A text encoder encodes the 77-token chunks of a long prompt each on its own; so many words, one a chunk, are
    encoded in one call. Raises ValueError for a text encoder that is not one of Stable Diffusion's.
    """
    tokens = [clip.tokenize(word) for word in words]
    rows, start = [], None
    for first in range(0, len(words), AT_ONCE):
        group = tokens[first : first + AT_ONCE]
        for word, own, encoded in zip(words[first:], group, _encode(clip, group), strict=False):
            start = encoded[:1] if start is None else start
            rows.append(encoded[_content(word, own)])
    return start, rows


def _encode(clip, group: list[dict]) -> list[torch.Tensor]:
    """(77, channel) for each tokenized word."""
    together = {key: [own[key][0] for own in group] for key in group[0]}
    embedding = clip.encode_from_tokens(together)
    if embedding.shape[1] == CHUNK * len(group):
        return list(embedding[0].split(CHUNK))
    return [clip.encode_from_tokens(own)[0] for own in group]


def _content(word: str, tokens: dict) -> list[int]:
    """Columns of a word's own tokens."""
    prompt = TextRegistry().prompt(tokens)
    columns = [t.column for t in prompt.tokens if t.kind not in NOT_CONTENT] if prompt is not None else []
    if prompt is None or prompt.length != CHUNK or not columns:
        raise ValueError(
            f"The word {word!r:.60} could not be encoded with this CLIP on its own. That needs the text encoders of Stable Diffusion 1.x, 2.x "
            "or SDXL."
        )
    return columns
