"""Which words of a prompt belong together, by their order alone: a prompt has no parts of speech.

A phrase is a run of content words within a tag, between filler words, marks and verbs; its last word is the noun that the
words before it describe:

    a red fish and a striped blue car, on grass  →  [red fish] [striped blue car] [grass]

What stands in brackets behind a noun (“miku (cosplay)”) tells which one is meant; it is no phrase. English word order. In other
languages commas still part phrases, and no word counts as a filler.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from . import START, TEXT, Prompt, Word, is_filler
from .tag_kinds import is_manner, is_medium

# Nouns and adjectives that end like a verb.
NO_VERBS = frozenset(
    """painting drawing building clothing lighting ring king string wing spring evening morning ceiling being thing
    earring wedding shading bling sling sterling something everything nothing anything
    lightning pudding railing flooring stocking engraving rendering viking duckling dumpling sibling""".split()
)
VERBS = frozenset(
    "stands sits lies wears holds looks swims swim flies runs walks rides eats plays fall falls made".split()
)


# Prepositions after which a place is named, and the words that may stand between them and its name.
PLACES = frozenset(
    """on in at under over above below beneath near inside outside behind before against across along through around by
    between among""".split()
)
BACKGROUNDS = frozenset("background backdrop".split())
JOINING = "()[]{}_-'’\"“”"  # marks between words of one phrase
ARTICLES = frozenset("a an the this that these those my your his her its our their some".split())


@dataclass(frozen=True)
class Phrase:
    """A noun and the words before it that describe it, as they stand in one prompt.

    is_place: it is a bare noun that says where the rest is, as in “on grass”, or a background. is_manner: it names no thing
    (hrv/prompt/tag_kinds.py). tag: between which commas it stands."""

    noun: Word
    modifiers: tuple[Word, ...]
    is_place: bool = False
    is_manner: bool = False
    tag: Word | None = None


def phrases_of(prompt: Prompt) -> list[Phrase]:
    """Every phrase of a prompt, in reading order. No phrase crosses the border of a tag."""
    return [phrase for tag, words in words_of_tags(prompt) for phrase in _phrases_of_tag(prompt, tag, words)]


def words_of_tags(prompt: Prompt) -> list[tuple[Word, list[Word]]]:
    """Each tag with the words in it."""
    words_at: dict[int, list[Word]] = {}
    for word in prompt.words():
        for column in word.columns:
            words_at.setdefault(column, []).append(word)
    found = []
    for tag in prompt.tags():
        # two texts (SDXL) share columns, so the letters must be the tag's too
        inside = {
            id(word): word for c in tag.columns for word in words_at.get(c, ()) if word.text in tag.text
        }
        found.append((tag, list(inside.values())))
    return found


def _phrases_of_tag(prompt: Prompt, tag: Word, words: Sequence[Word]) -> list[Phrase]:
    phrases: list[Phrase] = []
    current: list[Word] = []
    is_manner_tag = is_manner(tag.text)
    before = ""  # the filler word before this phrase
    is_manner_next = False  # whether what stands before this phrase makes it one of manner

    def close(next_word: str = "") -> None:
        nonlocal before, is_manner_next
        if not current:
            return
        noun = current[-1].text.lower()
        shows_more = is_medium(noun) and next_word == "of"
        manner = is_manner_tag or is_manner_next or shows_more or is_manner(" ".join(w.text for w in current))
        is_place = (before in PLACES and len(current) == 1) or noun in BACKGROUNDS
        phrases.append(Phrase(current[-1], tuple(current[:-1]), is_place, manner, tag))
        is_manner_next = noun == "style" and next_word == "of"
        current.clear()
        before = ""

    for number, (word, is_parted) in enumerate(_outside_brackets(prompt, tag, words)):
        text = word.text.lower()
        if is_parted:
            close()
            before = ""
        if is_filler(text) or _is_verb(text, bool(current), number == 0):
            close(text)
            if text not in ARTICLES:
                before = text
            elif before == "by":  # “by the window”: a place; “by monet”: whose manner
                before = "beside"
        else:
            is_manner_next = is_manner_next or (before == "by" and not current)
            current.append(word)
    close()
    return phrases


def _outside_brackets(prompt: Prompt, tag: Word, words: Sequence[Word]) -> Iterator[tuple[Word, bool]]:
    """The words of a tag but those in brackets; of each, whether a mark other than a bracket parts it from the one before."""
    at = depth = 0
    end: int | None = None
    for word in words:
        start = tag.text.find(word.text, at)
        if start >= 0:
            between, at = tag.text[at:start], start + len(word.text)
        else:  # spelled otherwise in the tag
            between = "" if end is None or word.columns[0] == end + 1 else "."
        is_parted = any(not c.isspace() and c not in JOINING for c in between)
        if prompt.text is None and end is not None:  # texts that were put together (ConditioningConcat)
            is_parted |= chunk_of(prompt, end) != chunk_of(prompt, word.columns[0])
        end = word.columns[-1]
        depth = max(0, depth + between.count("(") - between.count(")"))
        if not depth:
            yield word, is_parted


def manner_words(prompt: Prompt) -> frozenset[Word]:
    """All words that name no thing and describe none: those of quality, camera, medium, style, view."""
    found: set[Word] = set()
    for tag, words in words_of_tags(prompt):
        if is_manner(tag.text):
            found.update(words)
    for phrase in phrases_of(prompt):
        if phrase.is_manner:
            found.update((phrase.noun, *phrase.modifiers))
    return frozenset(found)


def filler_columns(prompt: Prompt, words: Sequence[Word]) -> list[int]:
    """Columns of filler words and of punctuation: text that asks for nothing to be drawn."""
    content = {column for word in words if not is_filler(word.text) for column in word.columns}
    texts = {t.column for text in prompt.each_text for t in text.tokens[: prompt.length] if t.kind == TEXT}
    return sorted(texts - content)


def chunk_of(prompt: Prompt, column: int) -> int:
    """In which chunk of 77 tokens a column lies, counted from 1."""
    return max(1, sum(token.kind == START for token in prompt.tokens[: column + 1]))


def _is_verb(word: str, follows_content: bool, is_first: bool) -> bool:
    """`sitting` in "a cat sitting on a mat", `holding` in the tag "holding umbrella"; not in "a flying bird", where it describes the
    noun."""
    may_be = follows_content or (is_first and word.endswith("ing"))
    return may_be and (word in VERBS or (word.endswith("ing") and word not in NO_VERBS))
