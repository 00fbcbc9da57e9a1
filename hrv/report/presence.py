"""Whether the things that a prompt names are in the image, as far as attention tells (docs/formulas.md, "No place")."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from .evidence import Evidence, levels

TINY = 1e-9  # a share of attention that is none


@dataclass(frozen=True)
class Presence:
    """What tells whether a noun's thing is in the image.

    agreed: consent on the noun and the words that describe it. clearest: the content word with the largest consent (none
    of manner), and that. gathering: of the describing words' maps by the heads that found them best (of the noun's where nothing
    describes it), as a part of the largest of any content word. mixed, beside: how much nearer the describing words lie
    to those of another noun than the two nouns to each other, and that noun; 0 and empty where nothing is to be compared.
    strength: of all these words in their places, as a part of what those of the other nouns get; 1 where there is no
    other.
    """

    noun: str
    agreed: float
    clearest: tuple[str, float]
    gathering: float
    mixed: float = 0.0
    beside: str = ""
    strength: float = 1.0

    @property
    def level(self) -> float:
        louder = 0.15 * math.log(min(2.0, max(0.5, self.strength)))
        return self.agreed / self.clearest[1] + self.gathering / 2 - self.mixing + louder

    @property
    def mixing(self) -> float:
        """What `level` loses because what describes the noun lies with what describes another."""
        return self.mixed / 5


def presences(evidence: Evidence) -> list[Presence]:
    """One for each noun whose heads were asked, but for bare places (“on grass”): they lie around the things."""
    known = {name: word.consent for name, word in evidence.words.items() if word.consent is not None}
    content = {
        name: found.level
        for name, found in known.items()
        if not evidence.words[name].filler and not evidence.words[name].manner
    }
    if len(known) < 3 or not content:
        return []  # nothing to compare with
    clearest = max(content.items(), key=lambda item: item[1])
    gathering_of = {name: levels(found.map)[2] for name, found in known.items()}
    most = max(gathering_of[name] for name in content)
    if min(clearest[1], most) <= 0:
        return []  # no word has a place
    asked = {
        phrase.noun: [name for name in phrase.modifiers if name in known]
        for phrase in evidence.phrases
        if not phrase.is_place and phrase.noun in known
    }
    strength = {
        noun: statistics.fmean(evidence.words[name].strength for name in (noun, *modifiers))
        for noun, modifiers in asked.items()
    }
    found = []
    for noun, modifiers in asked.items():
        agreed = statistics.fmean(known[name].level for name in (noun, *modifiers))
        gathering = statistics.fmean(gathering_of[name] for name in modifiers or [noun]) / most
        mixed = {
            other: statistics.fmean(pairs) - evidence.clear_agreement(noun, other)
            for other, theirs in asked.items()
            if other != noun and (pairs := _agreements_of(evidence, modifiers, theirs))
        }
        beside = max(mixed, key=mixed.__getitem__, default="")
        others = [strength[other] for other in asked if other != noun]
        louder = strength[noun] / max(TINY, statistics.fmean(others)) if others else 1.0
        found.append(
            Presence(
                noun,
                agreed,
                clearest=clearest,
                gathering=gathering,
                mixed=mixed.get(beside, 0.0),
                beside=beside,
                strength=louder,
            )
        )
    return found


def _agreements_of(evidence: Evidence, first: Sequence[str], second: Sequence[str]) -> list[float]:
    """Of every word of the one list with every word of the other, but for the same word twice."""
    return [
        evidence.clear_agreement(a, b)
        for a, b in itertools.product(first, second)
        if a.partition("#")[0] != b.partition("#")[0]
    ]
