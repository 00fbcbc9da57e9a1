"""Concept words: the words that stand for each concept when head relevance is built.

As a file (.json) or as text, one concept a line:

    Animals: fox, rabbit, polar bear
    Colour: red, navy blue            # what follows a # is ignored

docs/concept_words.md describes both.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .vectors import check_concepts

FORMAT, VERSION = "hrv-concepts", 1
MAX_FILE = 2**20
MAX_WORDS = 1000


class BadConcepts(ValueError):
    """Concept words that cannot be used. One line: where they come from, and the fault."""


@dataclass(frozen=True)
class ConceptWords:
    """Concepts in order, each with its words (or short phrases), all different within a concept.

    Raises ValueError when there are fewer than two concepts, or a name or a word cannot be used.
    """

    title: str
    words: dict[str, tuple[str, ...]]

    def __post_init__(self):
        if len(self.words) < 2:
            raise ValueError("at least two concepts are needed to tell heads apart")
        check_concepts(self.concepts)
        for concept, words in self.words.items():
            _check_words(concept, words)

    @property
    def concepts(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(self.words)

    @property
    def count(self) -> int:
        """Number of words of all concepts together."""
        return sum(map(len, self.words.values()))

    def to_text(self) -> str:
        """The text form, which `parse_text` reads."""
        return "\n".join(f"{concept}: {', '.join(words)}" for concept, words in self.words.items())


def read(path: Path) -> ConceptWords:
    """The concept words of a .json file. Raises BadConcepts with the file's name and the fault."""
    try:
        if path.stat().st_size > MAX_FILE:
            raise ValueError(f"it is larger than {MAX_FILE} bytes")
        return parse_json(
            path.read_text(encoding="utf-8-sig")
        )  # with or without the mark that Windows puts first
    except OSError as error:
        raise BadConcepts(f"{path.name}: cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        raise BadConcepts(f"{path.name}: {' '.join(str(error).split())}") from None


def parse_json(text: str) -> ConceptWords:
    """The file form. Raises ValueError."""
    try:
        content = json.loads(text, object_pairs_hook=_no_repetition)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not valid JSON: {error.msg} in line {error.lineno}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f'it does not say "format": "{FORMAT}"')
    if content.get("format_version") != VERSION:
        raise ValueError(
            f"it has format_version {content.get('format_version')!s:.20}; {VERSION} can be read"
        )
    concepts, title = content.get("concepts"), content.get("title", "")
    if not isinstance(concepts, dict) or not isinstance(title, str):
        raise ValueError('it needs "concepts": {"name": ["word", …], …} and "title" as text')
    for concept, words in concepts.items():
        if not isinstance(words, list):
            raise ValueError(f"the words of {concept!r:.80} are not a list")
    return ConceptWords(title, {concept: tuple(words) for concept, words in concepts.items()})


def parse_text(text: str) -> ConceptWords:
    """The text form. Raises BadConcepts with the line and the fault."""
    found: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.split("#", 1)[0].strip()
        if not line:
            continue
        concept, colon, words = line.partition(":")
        if not colon:
            raise BadConcepts(
                f"Line {number} of the concepts, {line!r:.60}, has no colon. Write: Animals: cat, dog"
            )
        if concept.strip() in found:
            raise BadConcepts(f"Line {number} of the concepts names {concept.strip()!r:.60} again.")
        found[concept.strip()] = tuple(word.strip() for word in words.split(",") if word.strip())
    try:
        return ConceptWords("", found)
    except ValueError as error:
        raise BadConcepts(f"The concepts cannot be used: {error}.") from None


def _check_words(concept: str, words: tuple[str, ...]) -> None:
    if not 0 < len(words) <= MAX_WORDS:
        raise ValueError(f"{concept!r:.80} has {len(words)} words; 1 to {MAX_WORDS} can be used")
    seen = set()
    for word in words:
        if (
            not isinstance(word, str)
            or not 0 < len(word) <= 100
            or not word.isprintable()
            or word != word.strip()
        ):
            raise ValueError(f"{concept!r:.80} has a word that cannot be used: {word!r:.80}")
        if word.casefold() in seen:
            raise ValueError(f"{concept!r:.80} has the word {word!r:.80} twice")
        seen.add(word.casefold())


def _no_repetition(pairs: list[tuple[str, object]]) -> dict:
    content: dict = {}
    for name, value in pairs:
        if name in content:
            raise ValueError(f"{name!r:.80} is there twice")
        content[name] = value
    return content
