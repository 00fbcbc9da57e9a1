"""Which words of a prompt belong together, by their order alone: a prompt has no parts of speech.

A phrase is a run of content words between filler words, commas and verbs; its last word is the noun that the
words before it describe:

    a red fish and a striped blue car, on grass  →  [red fish] [striped blue car] [grass]

English word order. In other languages commas still part phrases, and no word counts as a filler.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .prompt import START, TEXT, Prompt, Word

# Words that carry grammar, not content: articles, prepositions, conjunctions, pronouns, auxiliaries.
FILLERS = frozenset(
    """a an the this that these those some any each every and or but nor so as than of in on at by to from with
    without into onto over under above below beside besides between behind before after near next around along across
    through against among inside outside off up down out about for is are was were be been being am has have had
    having do does did it its he his him she her hers they their them i me my we our us you your who whom which what
    where when while there here then very too also just only not no both all more most much many other another
    front back left right side top bottom middle while""".split()
)  # fmt: skip
# Nouns and adjectives that end like a verb.
NO_VERBS = frozenset(
    """painting drawing building clothing lighting ring king string wing spring evening morning ceiling being thing
    earring wedding shading bling sling sterling something everything nothing anything
    lightning pudding railing flooring stocking engraving rendering""".split()
)
VERBS = frozenset(
    "stands sits lies wears holds looks swims swim flies runs walks rides eats plays fall falls made".split()
)


# Prepositions after which a place is named, and the words that may stand between them and its name.
PLACES = frozenset(
    """on in at under over above below beneath near inside outside behind before against across along through around by
    between among""".split()
)
ARTICLES = frozenset("a an the this that these those my your his her its our their some".split())


@dataclass(frozen=True)
class Phrase:
    """A noun and the words before it that describe it, as they stand in one prompt.

    is_place: it is a bare noun that says where the rest is, as in “on grass”."""

    noun: Word
    modifiers: tuple[Word, ...]
    is_place: bool = False


def is_filler(word: str) -> bool:
    """Whether a word, as written, carries grammar and no content."""
    return word.lower() in FILLERS


def is_all_filler(name: str) -> bool:
    """Whether a word or tag, as written, has no word with content: “the”, “of the”."""
    return all(is_filler(word) for word in name.split())


def phrases_of(prompt: Prompt) -> list[Phrase]:
    """Every phrase of a prompt, in reading order."""
    phrases: list[Phrase] = []
    current: list[Word] = []

    end, after_preposition = None, False

    def close() -> None:
        nonlocal after_preposition
        if current:
            is_place = after_preposition and len(current) == 1
            phrases.append(Phrase(current[-1], tuple(current[:-1]), is_place))
            current.clear()
            after_preposition = False

    for word in prompt.words():
        if end is not None and word.columns[0] != end + 1:  # punctuation or the end of a chunk lies between
            close()
        end = word.columns[-1]
        if is_filler(word.text) or _is_verb(word.text, bool(current)):
            close()
            if word.text.lower() not in ARTICLES:
                after_preposition = word.text.lower() in PLACES
        else:
            current.append(word)
    close()
    return phrases


def filler_columns(prompt: Prompt, words: Sequence[Word]) -> list[int]:
    """Columns of filler words and of punctuation: text that asks for nothing to be drawn."""
    content = {column for word in words if not is_filler(word.text) for column in word.columns}
    return [t.column for t in prompt.tokens if t.kind == TEXT and t.column not in content]


def chunk_of(prompt: Prompt, column: int) -> int:
    """In which chunk of 77 tokens a column lies, counted from 1."""
    return max(1, sum(token.kind == START for token in prompt.tokens[: column + 1]))


def _is_verb(word: str, follows_content: bool) -> bool:
    """`sitting` in "a cat sitting on a mat"; not in "a flying bird", where it describes the noun."""
    word = word.lower()
    return follows_content and (word in VERBS or (word.endswith("ing") and word not in NO_VERBS))
