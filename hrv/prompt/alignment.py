"""Which characters of a typed text each token stands for.

Tokenizers spell: the bytes of their tokens, one after the other, are the bytes of the text, but for case, white space and Unicode
form. So nothing of a tokenizer is known here but what its tokens spell. Where they spell something else (a tokenizer that mends
quotes, or has no token for a character), the texts are brought together again at the next place where they agree.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

from .typed_text import Range, TypedText

LOOK_AHEAD = 64  # bytes within which the texts must agree again
SEARCHES = 512  # times that they may be brought together again
ALIKE = 4  # bytes that must agree there
_WITHOUT_SPACE = {code: None for code in range(128) if chr(code).isspace()}
SAME_TEXT = 0.5  # of what the tokens spell must stand in the text
VECTOR = 256  # symbols from here on stand for textual inversions, those below for bytes


Spelling = bytes | str
"""What one token spells: bytes without white space; or, for a vector of a textual inversion, its name ("" if not known)."""


def align(text: TypedText, spellings: Sequence[Spelling], lowered: bool = True) -> list[Range | None] | None:
    """The characters of `text.clean` that each token stands for; None for a token that spells nothing. None altogether where
    the tokens spell another text.

    lowered: whether the tokenizer makes capitals small.
    """
    chosen = _embeddings_of(text, spellings) if any(isinstance(s, str) for s in spellings) else {}
    source, owners = _symbols(text, Counter(chosen.values()), lowered)
    spelled: list[int] = []
    ends = []
    for number, spelling in enumerate(spellings):
        spelled.extend(
            spelling if isinstance(spelling, bytes) else [VECTOR + chosen.get(number, len(text.embeddings))]
        )
        ends.append(len(spelled))
    if not source:
        return None if spelled else [None for _ in spellings]
    if spelled != source:
        places = _matched(source, spelled)
        agreeing = sum(source[place] == symbol for place, symbol in zip(places, spelled, strict=True))
        if agreeing < SAME_TEXT * len(spelled):
            return None
        owners = [owners[place] for place in places]
    found: list[Range | None] = []
    start = 0
    for stop in ends:
        if start == stop:
            found.append(None)
        elif (first := owners[start]) is (last := owners[stop - 1]):
            found.append(first)
        else:
            found.append((min(first[0], last[0]), max(first[1], last[1])))
        start = stop
    return found


def _embeddings_of(text: TypedText, spellings: Sequence[Spelling]) -> dict[int, int]:
    """Which textual inversion of the text each vector belongs to: number of the token → number of the inversion.

    Both come in the same order. Vectors of one that follow each other without text between are shared out evenly among as many
    mentions of it as follow each other in the text.
    """
    found: dict[int, int] = {}
    names = [embedding.name.lower() for embedding in text.embeddings]
    mention = 0
    spoken = [
        number for number, spelling in enumerate(spellings) if spelling != b""
    ]  # a chunk may end within an inversion
    for name, group in itertools.groupby(spoken, lambda number: spellings[number]):
        if isinstance(name, bytes):
            continue
        vectors = list(group)
        wanted = name.lower()
        first = next((i for i in range(mention, len(names)) if wanted in ("", names[i])), None)
        if first is not None:
            last = first + 1
            while last < len(names) and names[last] == names[first] and _touch(text, last):
                last += 1
            for place, number in enumerate(vectors):
                found[number] = first + place * (last - first) // len(vectors)
            mention = last
    return found


def _touch(text: TypedText, number: int) -> bool:
    """Whether nothing but white space stands between a textual inversion and the one before it."""
    return not text.clean[text.embeddings[number - 1].place[1] : text.embeddings[number].place[0]].strip()


def _symbols(text: TypedText, vectors: Counter[int], lowered: bool) -> tuple[list[int], list[Range]]:
    """The bytes of the text without white space, with a symbol for each vector of each inversion; and the characters that each
    stands for. An inversion without `vectors` among the tokens is left out: the host has no file for it."""
    symbols: list[int] = []
    owners: list[Range] = []
    at = 0
    for number, embedding in enumerate(text.embeddings):
        start, stop = embedding.place
        _spell(text, at, start, lowered=lowered, symbols=symbols, owners=owners)
        symbols.extend([VECTOR + number] * vectors[number])
        owners.extend([(start, stop)] * vectors[number])
        at = stop
    _spell(text, at, len(text.clean), lowered=lowered, symbols=symbols, owners=owners)
    return symbols, owners


def _spell(text: TypedText, start: int, stop: int, *, lowered: bool, symbols: list, owners: list) -> None:
    part = text.clean[start:stop]
    if part.isascii():
        part = part.lower() if lowered else part
        symbols.extend(part.translate(_WITHOUT_SPACE).encode("ascii"))
        owners.extend(
            [(place, place + 1) for place, letter in enumerate(part, start) if not letter.isspace()]
        )
        return
    for first, last in clusters(text, start, stop):
        letters = unicodedata.normalize("NFC", text.clean[first:last])
        for symbol in (letters.lower() if lowered else letters).encode("utf-8", "replace"):
            symbols.append(symbol)
            owners.append((first, last))


def clusters(text: TypedText, start: int, stop: int) -> Iterator[Range]:
    """Characters with the marks that join them, which Unicode forms compose together; no white space."""
    clean = text.clean
    first = start
    while first < stop:
        if clean[first].isspace():
            first += 1
            continue
        last = first + 1
        while last < stop and _joins(clean[last - 1], clean[last]):
            last += 1
        yield first, last
        first = last


def _joins(before: str, letter: str) -> bool:
    if letter < "\u0300":
        return False
    if "\u1160" <= letter <= "\u11ff":  # vowels and final consonants of Korean
        return "\u1100" <= before <= "\u11ff"
    return letter in "\uff9e\uff9f" or unicodedata.combining(letter) != 0


def _matched(source: list[int], spelled: list[int]) -> list[int]:
    """For each spelled symbol the place in the source that it stands for, where the two differ here and there."""
    places: list[int] = []
    i = j = searches = 0
    end = max(0, len(source) - 1)
    while j < len(spelled):
        if i < len(source) and source[i] == spelled[j]:
            places.append(i)
            i, j = i + 1, j + 1
            continue
        searches += 1  # texts that have nothing to do with each other must not take long
        skipped, extra = _next_agreement(source, spelled, i, j) if searches <= SEARCHES else (1, 1)
        places.extend(min(i + step * skipped // max(1, extra), end) for step in range(extra))
        i, j = i + skipped, j + extra
    return places


def _next_agreement(source: list[int], spelled: list[int], i: int, j: int) -> tuple[int, int]:
    """How many symbols of each to pass over until both agree again; at least one of one of them."""
    for distance in range(1, 2 * LOOK_AHEAD):
        for extra in range(max(0, distance - LOOK_AHEAD), min(distance, LOOK_AHEAD) + 1):
            skipped = distance - extra
            after = source[i + skipped : i + skipped + ALIKE]
            if after and after == spelled[j + extra : j + extra + len(after)]:
                if len(after) == ALIKE or j + extra + len(after) == len(spelled):
                    return skipped, extra
    return min(1, max(0, len(source) - i)), 1
