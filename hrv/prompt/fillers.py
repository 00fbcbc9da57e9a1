"""Filler words: “the”, “of”, “with”. English only; in other languages no word counts as one."""

from __future__ import annotations

# Words that carry grammar, not content: articles, prepositions, conjunctions, pronouns, auxiliaries.
_WORDS = """
    a an the this that these those some any each every and or but nor so as than of in on at by to from with
    without into onto over under above below beside besides between behind before after near next around along across
    through against among inside outside off up down out about for is are was were be been being am has have had
    having do does did it its he his him she her hers they their them i me my we our us you your who whom which what
    where when while there here then very too also just only not no both all more most much many other another
    front back left right side top bottom middle while
"""
FILLERS = frozenset(_WORDS.split())


def is_filler(word: str) -> bool:
    """Whether a word, as written, carries grammar and no content."""
    return word.lower() in FILLERS


def is_all_filler(name: str) -> bool:
    """Whether a word or tag, as written, has no word with content: “the”, “of the”."""
    return all(is_filler(word) for word in name.split())
