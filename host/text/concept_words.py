"""Encodes concept words with a CLIP, each on its own."""

from __future__ import annotations

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
    """The embeddings of all words (in memory, not on the GPU).

    A text encoder encodes the 77-token chunks of a long prompt each on its own; so many words, one a chunk, are
    encoded in one call. Raises ValueError for a text encoder that is not one of Stable Diffusion's.
    """
    flat = [word for of_concept in words.words.values() for word in of_concept]
    tokens = [clip.tokenize(word) for word in flat]
    rows, start, spans, total = [], None, [], 1
    for first in range(0, len(flat), AT_ONCE):
        group = tokens[first : first + AT_ONCE]
        for word, own, encoded in zip(flat[first:], group, _encode(clip, group), strict=False):
            start = encoded[:1] if start is None else start
            content = encoded[_content(word, own)]
            rows.append(content)
            spans.append((total, total + len(content)))
            total += len(content)
    counts = [len(of_concept) for of_concept in words.words.values()]
    ends = [sum(counts[: i + 1]) for i in range(len(counts))]
    by_concept = tuple(tuple(spans[end - count : end]) for count, end in zip(counts, ends, strict=True))
    return EncodedWords(torch.cat([start, *rows]).cpu(), by_concept)


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
            f"The concept word {word!r:.60} could not be encoded with this CLIP. Head relevance can be built with the text "
            "encoders of Stable Diffusion 1.x, 2.x and SDXL."
        )
    return columns
