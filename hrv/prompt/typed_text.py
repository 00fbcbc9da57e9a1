"""What an artist typed, parsed once: content, weights, embeddings, words and tags, each as a range of characters.

The host's own rules decide what is content (ComfyUI's `comfy/sd1_clip.py`): round brackets set weights, `\\(` and `\\)` are
brackets, `embedding:name` at the start of a part or after white space is a textual inversion. Everything else (`BREAK`, `[ ]`,
`{ | }`, `<lora:…>`) is plain text to ComfyUI, and so it is here.

    typed    a (big:0.8) cat, tracer_\\(overwatch\\)
    clean    a big cat, tracer_(overwatch)
    words    a · big · cat · tracer_(overwatch)
    tags     a big cat · tracer_(overwatch)

js/words/grammar.js follows the same rules; tests/data/typed_prompts.json holds both to the same results.
"""

from __future__ import annotations

import bisect
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

Range = tuple[int, int]
"""First character and the one after the last, in `TypedText.clean`."""

IDENTIFIER = "embedding:"
OPENING, CLOSING = "([{", ")]}"
# Letters of scripts that are written without spaces: Thai to Burmese, Khmer, kana, Han, and their extensions.
SPACELESS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u303b\u3040-\u312f"
    "\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
EMOJI = re.compile("[\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]")
# Punctuation that parts words wherever it stands: dashes and quotation marks, East Asian and full-width marks.
PARTING = re.compile(
    "[\u00a1\u00ab\u00bb\u00bf\u2013-\u2015\u201c-\u201f\u2026\u2039\u203a\u3001-\u3004\u3008-\u3020\u3030\u303d-\u303f\u30a0\u30fb"
    "\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]"
)
SPACES = re.compile("[\t\v\f \x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]")
COMMAS = ",，、､،"
LINE_BREAKS = "\n\r\u2028\u2029"


class _Classes(dict):
    """What each character is to the grammar, as one letter, found out when it is first met.

    a letter or digit · c letter of a script without spaces · e emoji · j mark that joins the character before it (accents, vowel
    signs, joiners) · s space · n line break · , comma · p parting punctuation · - any other mark
    """

    def __missing__(self, code: int) -> str:
        self[code] = found = self._class_of(chr(code))
        return found

    @staticmethod
    def _class_of(letter: str) -> str:
        category = unicodedata.category(letter)
        if letter in COMMAS:
            return ","
        if letter in LINE_BREAKS:
            return "n"
        if SPACES.match(letter):
            return "s"
        if (
            letter in "\uff9e\uff9f"
            or category[0] == "M"
            or category == "Cf"
            or "\U0001f3fb" <= letter <= "\U0001f3ff"
        ):
            return "j"
        if EMOJI.match(letter):
            return "e"
        if category[0] in "LN":
            return "c" if SPACELESS.match(letter) else "a"
        return "p" if PARTING.match(letter) else "-"


CLASSES = _Classes()
_JOINED = re.compile("([ace])(j+)")
# marks belong to a word where letters or digits of scripts with spaces stand on both sides
_RUN = re.compile("[ac]+(?:(?<=a)-+(?=a)[ac]+)*|e+")
_CHUNK = re.compile("[^sn]+")
_EMBEDDING = re.compile(r"(?:^|(?<=\s))embedding:\s*([^\s<\[]+)")
_BRACKET = re.compile(r"[()[\]{}]")
_ROUND = re.compile("[()]")
_ESCAPE = re.compile(r"\\(?=[()])")


@dataclass(frozen=True)
class Embedding:
    """A textual inversion: its name without `embedding:`, and its characters, identifier included."""

    name: str
    place: Range


@dataclass(frozen=True, eq=False)
class TypedText:
    """One text as typed. Its parts are ranges in `clean`, the content: no brackets of weights, no weights, no backslashes that
    escape. origin: where in `typed` each character of it stands. segments: ranges of one weight each, which the host's
    tokenizer is given one by one, and those weights.
    """

    typed: str
    clean: str
    origin: tuple[int, ...]
    segments: tuple[tuple[int, int, float], ...]
    embeddings: tuple[Embedding, ...]

    @cached_property
    def classes(self) -> str:
        """A letter for each character of `clean`, as `_Classes` says; what joins is of the class that it joins."""
        return _JOINED.sub(
            lambda found: found[1] * (1 + len(found[2])), self.clean.translate(CLASSES)
        ).replace("j", "-")

    @cached_property
    def tags(self) -> tuple[Range, ...]:
        """What stands between commas and line breaks, without the white space around it."""
        return tuple(self._tags())

    @cached_property
    def words(self) -> tuple[Range, ...]:
        """Runs of letters and digits with the marks inside them, embeddings, and tags that are emoticons."""
        return tuple(word for tag in self.tags for word in self._words_of(tag))

    def name(self, part: Range) -> str:
        """A word or tag as it is shown: as typed, without escapes and weights, white space collapsed."""
        start, stop = part
        first, last = bisect.bisect_right(self._cuts, start), bisect.bisect_left(self._cuts, stop)
        if first < last:
            borders = [
                start,
                *(c for c in self._cuts[first:last] if self._is_letter(c - 1) and self._is_letter(c)),
                stop,
            ]
            text = " ".join(self.clean[a:b] for a, b in itertools.pairwise(borders))
        else:
            text = self.clean[start:stop]
        return " ".join(text.split())

    # -- parts ------------------------------------------------------------------------------------------------

    @cached_property
    def _cuts(self) -> tuple[int, ...]:
        """Where a segment begins."""
        return tuple(start for start, _, _ in self.segments[1:])

    def _is_letter(self, place: int) -> bool:
        return self.classes[place] in "ace"

    def _tags(self) -> Iterator[Range]:
        closed = self.classes
        for embedding in self.embeddings:  # a comma in a name does not part
            start, stop = embedding.place
            closed = closed[:start] + "a" * (stop - start) + closed[stop:]
        for found in re.finditer("[^,n]+", closed):
            start, stop = found.span()
            while start < stop and closed[start] == "s":
                start += 1
            while start < stop and closed[stop - 1] == "s":
                stop -= 1
            if start < stop:
                yield start, stop

    def _words_of(self, tag: Range) -> Iterator[Range]:
        start, stop = tag
        classes = self.classes[start:stop]
        letters = classes.count("a") + classes.count("c")
        if "e" not in classes and (not letters or (letters == 1 and len(classes) > 1 and "s" not in classes)):
            yield tag  # `>_<`, `:d`
            return
        at = start
        for first, last in self._embeddings_in(tag):
            yield from self._runs(at, first)
            yield first, last
            at = last
        yield from self._runs(at, stop)

    def _embeddings_in(self, part: Range) -> list[Range]:
        return (
            [e.place for e in self.embeddings if part[0] <= e.place[0] < part[1]] if self.embeddings else []
        )

    def _runs(self, start: int, stop: int) -> Iterator[Range]:
        """Words between two places; white space and the borders of segments part them."""
        for first, last in self._pieces(start, stop):
            for chunk in _CHUNK.finditer(self.classes, first, last):
                end = chunk.start()
                for run in _RUN.finditer(self.classes, *chunk.span()):
                    word = self._with_brackets(run.span(), (end, chunk.end()))
                    end = word[1]
                    yield word

    def _pieces(self, start: int, stop: int) -> Iterable[Range]:
        first, last = bisect.bisect_right(self._cuts, start), bisect.bisect_left(self._cuts, stop)
        return itertools.pairwise([start, *self._cuts[first:last], stop])

    def _with_brackets(self, run: Range, chunk: Range) -> Range:
        """A run with the brackets around it that pair with brackets inside it: `tracer_(overwatch` takes `)`."""
        start, stop = run
        text = self.clean
        if not _BRACKET.search(text, start, stop):
            return run
        for opening, closing in zip(OPENING, CLOSING, strict=True):
            level = lowest = 0
            for letter in text[start:stop]:
                level += (letter == opening) - (letter == closing)
                lowest = min(lowest, level)
            while lowest < 0 and start > chunk[0] and text[start - 1] == opening:
                start, lowest, level = start - 1, lowest + 1, level + 1
            while level > 0 and stop < chunk[1] and text[stop] == closing:
                stop, level = stop + 1, level - 1
        return start, stop


@lru_cache(maxsize=256)
def parse(typed: str, weighted: bool = True) -> TypedText:
    """The parts of a typed text. weighted: whether brackets set weights, as they do for CLIP; False for text encoders that take
    every character as it is."""
    letters: list[str] = []
    origin: list[int] = []
    segments: list[tuple[int, int, float]] = []
    embeddings: list[Embedding] = []
    for start, stop, weight in _weighted(typed) if weighted else [(0, len(typed), 1.0)]:
        part, places = _unescaped(typed, start, stop)
        first = len(origin)
        letters.append(part)
        origin.extend(places)
        segments.append((first, len(origin), weight))
        embeddings.extend(_embeddings(part, first))
    return TypedText(typed, "".join(letters), tuple(origin), tuple(segments), tuple(embeddings))


def _weighted(typed: str) -> list[tuple[int, int, float]]:
    """Segments of one weight in reading order, as the host's `token_weights` finds them: (first character, one after the last,
    weight)."""
    text = typed.replace("\\)", "\0\1").replace("\\(", "\0\2")
    found: list[tuple[int, int, float]] = []
    waiting = [(0, len(text), 1.0, True)]
    while waiting:
        start, stop, weight, may_hold_brackets = waiting.pop()
        if not may_hold_brackets:
            found.append((start, stop, weight))
            continue
        parts = []
        for first, last in _bracketed(text, start, stop):
            if last - first < 2 or text[first] != "(" or text[last - 1] != ")":
                parts.append((first, last, weight, False))
                continue
            first, last, inner = first + 1, last - 1, weight * 1.1
            colon = text.rfind(":", first, last)
            if colon > first:
                try:
                    inner, last = float(text[colon + 1 : last]), colon
                except ValueError:
                    pass
            parts.append((first, last, inner, True))
        waiting.extend(reversed(parts))
    return found


def _bracketed(text: str, start: int, stop: int) -> Iterator[Range]:
    """A range cut at its outermost brackets, as the host's `parse_parentheses` does it, unbalanced ones included."""
    level, first = 0, start
    for found in _ROUND.finditer(text, start, stop):
        place = found.start()
        if text[place] == "(":
            if level == 0 and place > first:
                yield first, place
                first = place
            level += 1
        else:
            level -= 1
            if level == 0:
                yield first, place + 1
                first = place + 1
    if first < stop:
        yield first, stop


def _unescaped(typed: str, start: int, stop: int) -> tuple[str, list[int]]:
    """The characters of a range without the backslashes that escape, and where in `typed` each stands."""
    letters, places, at = [], [], start
    for found in _ESCAPE.finditer(typed, start, stop):
        letters.append(typed[at : found.start()])
        places.extend(range(at, found.start()))
        at = found.end()  # the bracket itself comes with what follows
    letters.append(typed[at:stop])
    places.extend(range(at, stop))
    return "".join(letters), places


def _embeddings(part: str, first: int) -> Iterator[Embedding]:
    """Textual inversions in the content of one segment, which begins at `first`."""
    if IDENTIFIER not in part:
        return
    for found in _EMBEDDING.finditer(part):
        name = found[1].strip(",")
        if name:
            stop = found.start(1) + found[1].index(name) + len(name)
            yield Embedding(name, (first + found.start(), first + stop))
