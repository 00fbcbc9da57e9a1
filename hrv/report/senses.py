"""In which sense each word of a prompt was taken: Compare Concepts' shares, for all words at once.

Formula: docs/formulas.md, "Which concept". Needs head relevance vectors of the model (hrv/relevance/vectors.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..look.compare import shares_of
from ..maps.head_maps import head_spreads
from ..recording.recording import Match
from ..relevance.concept_scores import WordEvidence, leanings, painted
from ..relevance.vectors import HeadRelevance
from ..wording import percent_text, said
from .evidence import Evidence
from .finding import Finding

SHOWN = 5
EVEN = 0.55  # below this part of the two largest shares, neither is the sense
RIVAL = 1.25  # the second must take so much more than the third: two senses, not many vague ones


@dataclass(frozen=True)
class Sense:
    """shares: the SHOWN concepts that take most of a word, largest first; all concepts together have 1. noun: whether
    the word is one that other words describe."""

    word: str
    shares: dict[str, float]
    noun: bool


def senses_of(match: Match, evidence: Evidence, vectors: HeadRelevance) -> list[Sense]:
    """The concepts of every content word of an image, in the order of the prompt.

    Raises ValueError for vectors of another model. Empty where there is nothing to compare: a prompt of one word, or
    vectors of one concept.
    """
    vectors.check(match.run.layout)
    if len(evidence.targets) < 2 or len(vectors.concepts) < 2:
        return []
    spreads = {name: head_spreads(match, target) for name, target in evidence.targets.items()}
    usual, leaning = sum(spreads.values(), torch.zeros(())), leanings(vectors, vectors.concepts)
    nouns = {noun.name for noun in evidence.nouns}
    found = []
    for word in evidence.words.values():
        if word.filler:
            continue
        shares = shares_of(painted(WordEvidence(spreads[word.name], usual, leaning)))
        order = sorted(range(len(shares)), key=lambda concept: -shares[concept])[:SHOWN]
        concepts = {vectors.concepts[concept]: shares[concept] for concept in order}
        found.append(Sense(word.name, concepts, word.name in nouns))
    return found


def doubtful_senses(senses: Sequence[Sense]) -> list[Finding]:
    """Nouns of which two concepts take nearly the same, and clearly more than any other."""
    found = []
    for sense in senses:
        (first, most), (second, next_most), *others = sense.shares.items()
        is_even = most < EVEN * (most + next_most)
        if not sense.noun or not is_even or (others and next_most < RIVAL * others[0][1]):
            continue
        told = {"word": sense.word, "first": first, "second": second}
        shares = {"most": percent_text(most), "next": percent_text(next_most)}
        reason = said(
            "{first} has {most} of all concepts together, {second} {next}.",
            first=first,
            second=second,
            **shares,
        )
        tip = said(
            "If you mean only one, run Adjust Concept on “{word}”: wanted {first}, unwanted {second}, or the other way round; or add a word "
            "that makes it clear. Compare Concepts shows both.",
            **told,
        )
        numbers = {"first": most, "second": next_most}
        found.append(
            Finding(
                "doubtful sense",
                (sense.word,),
                said("“{word}” was taken for both {first} and {second}.", **told),
                tip=tip,
                reason=reason,
                numbers=numbers,
                nouns=(sense.word,),
            )
        )
    return found
