"""CLIP's side of a prompt: chunks of 77 tokens, and what its pieces spell."""

from __future__ import annotations

import bisect
import functools
from collections.abc import Callable, Sequence
from typing import Any

from .alignment import Spelling, align
from .prompt import Prompt
from .tokens import EMBEDDING, END, PAD, START, TEXT, Token
from .typed_text import IDENTIFIER, Range, TypedText, parse

START_ID, END_ID = 49406, 49407
WORD_END = "</w>"


def parse_chunks(
    chunks: Sequence[Sequence[tuple[Any, ...]]],
    piece_of: Callable[[int], str],
    name_of_embedding: Callable[[Any], str],
    text: str | None = None,
) -> Prompt:
    """Tokens of one encoder as ComfyUI's tokenizer gives them.

    chunks: list of chunks of (token id or embedding vector, weight, …); `piece_of` maps an id to its BPE piece;
    `name_of_embedding` names the textual inversion a vector belongs to, as `embedding:name`. text: as typed, None where it is
    not known: it is then what the tokens spell.
    """
    columns: list[tuple[str, str, float]] = []
    for chunk in chunks:
        ended = False
        for position, (token, weight, *_) in enumerate(chunk):
            if not isinstance(token, int):
                columns.append((EMBEDDING, name_of_embedding(token), float(weight)))
            elif ended:
                columns.append((PAD, "", 1.0))
            elif token == END_ID:
                columns.append((END, "", 1.0))
                ended = True
            elif position == 0 and token == START_ID:
                columns.append((START, "", 1.0))
            else:
                columns.append((TEXT, piece_of(token), float(weight)))
    return Prompt(tuple(with_places(columns, text)), text)


def with_places(columns: Sequence[tuple[str, str, float]], text: str | None) -> list[Token]:
    """Tokens of (kind, piece, weight), one a column, with the characters that each stands for in the text as typed; in the text
    that they spell where it is not known (None) or another one."""
    spellings = [_spelling(kind, piece) for kind, piece, _ in columns]
    parsed, places = (None, None) if text is None else _placed(text, spellings)
    if places is None:
        parsed = parse(_spelled(columns), weighted=False)
        places = align(parsed, spellings) or [None] * len(columns)
    return [
        Token(number, *column, None if place is None else parsed, place)
        for number, (column, place) in enumerate(zip(columns, places, strict=True))
    ]


def _placed(text: str, spellings: Sequence[Spelling]) -> tuple[TypedText, list[Range | None] | None]:
    """The parts of a typed text, and the characters of it that each token stands for. Some text encoders take brackets and weights for
    text: tokens that spell nothing else then stand for nothing."""
    parsed = parse(text)
    spelled = b"".join(s for s in spellings if isinstance(s, bytes))
    if parsed.clean == text or _squeezed(parsed.clean) in spelled or _squeezed(text) not in spelled:
        return parsed, align(parsed, spellings)
    places = align(parse(text, weighted=False), spellings)
    return parsed, places and [place and _without_marks(parsed, place) for place in places]


def _without_marks(text: TypedText, place: Range) -> Range | None:
    """The characters of `clean` that these of `typed` are; None where they are brackets or weights alone."""
    start, stop = (bisect.bisect_left(text.origin, end) for end in place)
    return (start, stop) if start < stop else None


def _squeezed(text: str) -> bytes:
    return "".join(text.lower().split()).encode("utf-8", "replace")


def _spelling(kind: str, piece: str) -> Spelling:
    if kind == TEXT:
        return bytes_of_piece(piece)
    if kind != EMBEDDING:
        return b""
    return piece[len(IDENTIFIER) :] if piece.startswith(IDENTIFIER) else ""


@functools.cache
def _byte_of_letter() -> dict[str, int]:
    """CLIP writes each byte of a text as one printable letter (Radford et al. 2019, byte-level BPE): bytes that
    print stand for themselves, the others follow from letter 256 on."""
    printing = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = [byte for byte in range(256) if byte not in printing]
    return {chr(b): b for b in printing} | {chr(256 + i): b for i, b in enumerate(others)}


@functools.lru_cache(maxsize=65536)
def bytes_of_piece(piece: str) -> bytes:
    """What a piece spells, without the mark at the end of a word."""
    letters = _byte_of_letter()
    return bytes(letters[letter] for letter in piece.removesuffix(WORD_END) if letter in letters)


def letters_of_bytes(spelled: bytes) -> str:
    """The piece that spells these bytes."""
    letters = {byte: letter for letter, byte in _byte_of_letter().items()}
    return "".join(letters[byte] for byte in spelled)


def _spelled(columns: Sequence[tuple[str, str, float]]) -> str:
    """The text that tokens spell: a space after each piece that ends a word, and around textual inversions."""
    spelled: list[bytes] = []
    before = ("", "")
    for kind, piece, _ in columns:
        if kind == EMBEDDING and before != (kind, piece):
            spelled.append(f" {piece} ".encode())
        elif kind == TEXT:
            spelled.append(bytes_of_piece(piece) + (b" " if piece.endswith(WORD_END) else b""))
        if kind in (TEXT, EMBEDDING):
            before = kind, piece
    return b"".join(spelled).decode("utf-8", "replace")
