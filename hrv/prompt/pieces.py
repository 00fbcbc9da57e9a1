"""What the tokens of other text encoders than CLIP spell: T5, Qwen, Gemma, Mistral and the like, and which of them are the typed text.

All of them spell bytes: byte-level tokenizers (Qwen, Mistral) write each byte as one printable letter, as CLIP's does, and SentencePiece
(T5, Gemma) writes letters, `▁` for a space and `<0xE7>` for a byte. Here every piece is written as CLIP's are, so that the rest of the
pack knows one spelling.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .clip_tokens import bytes_of_piece, letters_of_bytes, with_places
from .prompt import Prompt
from .tokens import EMBEDDING, PAD, TEXT, Token

SPACE = "▁"
BYTE = re.compile(r"<0x([0-9A-F]{2})>")
MARK = re.compile(r"<[^>]*>|\[[A-Z_/]+\]")  # <unk>, <|im_start|>, [INST]: spells nothing
Column = tuple[str, str, float]
"""(kind, piece, weight)."""


def letters_of(piece: str, byte_level: bool) -> str:
    """A tokenizer's piece as CLIP would write it, capitals made small. byte_level: how it writes bytes."""
    if MARK.fullmatch(piece) and not BYTE.fullmatch(piece):
        return ""
    if byte_level:
        return letters_of_bytes(_lowered(bytes_of_piece(piece)))
    if BYTE.fullmatch(piece):
        return letters_of_bytes(bytes([int(piece[3:5], 16)]))
    return letters_of_bytes(_lowered(piece.replace(SPACE, "").encode()))


def _lowered(spelled: bytes) -> bytes:
    """Without white space, capitals made small; a part of a character stays as it is."""
    try:
        return spelled.decode().strip().lower().encode()
    except UnicodeDecodeError:
        return spelled.strip()


def columns_of(
    tokens: Sequence[tuple[Any, ...]],
    empty: Sequence[tuple[Any, ...]],
    pieces: Mapping[int, str],
    pad: int | None,
) -> list[Column]:
    """The tokens of a text, one a column. What stands around an empty text too (the template that many models put around it, marks of
    beginning and end, padding) is padding here: it is no word.

    tokens, empty: (id or vector, weight, …) of the text and of an empty one. pieces: id → piece. pad: the id of padding.
    """
    first, last = _inner([_id(token[0]) for token in tokens], [_id(token[0]) for token in empty], pad)
    byte_level = any(piece in pieces.values() for piece in ("Ġa", "Ġthe"))
    columns: list[Column] = []
    for place, (token, weight, *_) in enumerate(tokens):
        if not first <= place < last or isinstance(token, dict):
            columns.append((PAD, "", 1.0))
        elif not isinstance(token, int):
            columns.append((EMBEDDING, "embedding", float(weight)))
        else:
            columns.append((TEXT, letters_of(pieces.get(token, ""), byte_level), float(weight)))
    return columns


def prompt_of(columns: Sequence[Column], text: str | None, encoder: str) -> Prompt:
    """The prompt that these columns spell."""
    return Prompt(tuple(with_places(columns, text)), text, encoder=encoder)


def beside(first: Prompt, columns: Sequence[Column], text: str | None, encoder: str) -> Prompt:
    """A prompt whose text was encoded twice, one encoder's columns behind the other's (Stable Diffusion 3): a word has the columns of
    both."""
    width = first.length
    padding: list[Column] = [(PAD, "", 1.0)]
    second = prompt_of([*padding * width, *columns], text, encoder)
    tokens = [*first.tokens, *(Token(column, PAD) for column in range(width, width + len(columns)))]
    return Prompt(tuple(tokens), first.text, second, first.encoder)


def _id(token: Any) -> Any:
    return token if isinstance(token, int) else None


def _inner(ids: list, empty: list, pad: int | None) -> tuple[int, int]:
    """(first, one after the last) of the tokens that an empty text does not have."""
    start, stop = _without_padding(ids, pad)
    own, bare = ids[start:stop], empty[slice(*_without_padding(empty, pad))]
    before = _alike(own, bare)
    after = _alike(own[before:][::-1], bare[before:][::-1])
    return start + before, stop - after


def _without_padding(ids: list, pad: int | None) -> tuple[int, int]:
    start, stop = 0, len(ids)
    while stop > start and ids[stop - 1] == pad:
        stop -= 1
    while start < stop and ids[start] == pad:
        start += 1
    return start, stop


def _alike(one: list, other: list) -> int:
    """How many items both begin with."""
    count = 0
    while count < min(len(one), len(other)) and one[count] == other[count]:
        count += 1
    return count
