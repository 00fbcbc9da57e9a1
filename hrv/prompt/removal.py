"""The typed text without one of its words, or with another in its place: what a word did is asked by encoding that."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .typed_text import COMMAS, IDENTIFIER, LINE_BREAKS, Range, TypedText, parse

_EMPTY_WEIGHT = re.compile(r"(?<!\\)\(\s*(?::([^():]*))?\)")
_SEPARATORS = re.compile(f"([{COMMAS}{LINE_BREAKS}])")
_CLOSE_EMBEDDING = re.compile(f"([{COMMAS}])({IDENTIFIER})")
_BRACKET = re.compile(r"(?<!\\)[()]")


def without(text: TypedText, runs: Sequence[Sequence[Range]], instead: str = "") -> str:
    """The typed text in which these words are left out, or in which each run of words is put in other words.

    Weights and brackets of what is left stay as they are; a weight that is left with nothing to weigh goes with its word, and so
    does the comma of a tag of which nothing is left. instead: typed in place of each run's first word, with its weight.
    """
    typed = list(text.typed)
    for run in runs:
        for number, (start, stop) in enumerate(run):
            places = _typed_places(text, start, stop)
            for place in places:
                typed[place] = ""
            if instead and number == 0:
                typed[places[0]] = instead
            else:
                _close_gap(typed, places[0], places[-1])
    left = "".join(typed)
    return _tidy(left, text.typed)


def _typed_places(text: TypedText, start: int, stop: int) -> list[int]:
    """The characters of a part as typed, the backslashes that escape its brackets among them."""
    places: list[int] = []
    for place in text.origin[start:stop]:
        if text.typed[place] in "()" and place and text.typed[place - 1] == "\\":
            places.append(place - 1)
        places.append(place)
    return places


def _close_gap(typed: list[str], first: int, last: int) -> None:
    """Takes out one of the two spaces that stood around what was there."""
    before = next((place for place in range(first - 1, -1, -1) if typed[place]), None)
    after = next((place for place in range(last + 1, len(typed)) if typed[place]), None)
    starts = before is None or typed[before] in f"( \t{LINE_BREAKS}"
    ends = after is None or typed[after] in f"):, \t{LINE_BREAKS}"
    if after is not None and starts and typed[after] in " \t":
        typed[after] = ""
    elif before is not None and ends and typed[before] in " \t":
        typed[before] = ""


def _tidy(left: str, before: str) -> str:
    """Takes out weights of nothing, tags of nothing but marks, and one comma for each."""
    while (shorter := _EMPTY_WEIGHT.sub(_weighs_nothing, left)) != left:
        left = shorter
    pieces, originals = _SEPARATORS.split(left), _SEPARATORS.split(before)
    if len(pieces) != len(originals):  # a comma went with a word, as in the name of an embedding
        return "".join(pieces).strip(" \t")
    kept: list[str] = []
    for number in range(0, len(pieces), 2):
        piece, original = pieces[number], originals[number]
        is_mark = bool(piece.strip()) and not _has_content(original)
        if piece.strip() == original.strip() or _has_content(piece) or is_mark:
            kept += pieces[number : number + 2]
            continue
        if number + 1 == len(pieces) and kept and kept[-1] in COMMAS:
            kept.pop()
        brackets = "".join(_BRACKET.findall(piece))  # those of a weight that goes on behind the comma
        kept.append(brackets)
        if brackets and number + 2 < len(pieces):
            pieces[number + 2] = pieces[number + 2].lstrip(" \t")
    return _CLOSE_EMBEDDING.sub(r"\1 \2", "".join(kept)).strip(" \t")


def _weighs_nothing(found: re.Match[str]) -> str:
    try:
        float(found[1] or 0)
    except ValueError:
        return found[0]
    return ""


def _has_content(piece: str) -> bool:
    """Letters, digits or emoji."""
    return any(found in "ace" for found in parse(piece, weighted=False).classes)
