"""What a finding is, where findings begin, and what every rule compares a word with."""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass, field

from ..wording import Said, figure, said, sentences
from .evidence import Evidence, WordFacts

APART = said(
    "Say where each one is (“on the left”, “on the right”), or give each its own area: Conditioning (Set "
    "Area) on two prompts, then Conditioning (Combine)."
)
KINDS = (
    "no place",
    "ignored",
    "shared place",
    "wrong noun",
    "late part",
    "doubtful sense",
)  # the gravest first


@dataclass(frozen=True)
class Limits:
    """Where findings begin; benchmarks/report.py measures how often they are right, and can choose them.

    ignored_strength, ignored_gathering: a word is ignored below these parts of what filler words get.
    thin: what the strength of a bare place (“on grass”) is compared with is multiplied by this: it lies thin over the image.
    lone_strength, lone_gathering: the same against the other words, where a prompt has no filler words.
    presence: a noun's thing may be missing below this `Presence.level`; among `many` things only if it lies below their median by
    `outlier` as well: in long prompts the level of most things is low.
    even: a map that gathers less than this counts as even, whatever filler words do.
    shared_nouns, shared_modifiers: correlation of two maps from which on they lie in one place. nearer: by how much more the
    modifiers of two nouns must agree with each other, on average, than the nouns do. on_person: correlation from which on a tag
    is taken for a part of a person. margin: by how much a
    modifier must lie better on another noun.
    late: strength of a later part against the first.
    """

    ignored_strength: float = 0.8
    ignored_gathering: float = 0.8
    thin: float = 0.5
    lone_strength: float = 0.5
    lone_gathering: float = 0.5
    presence: float = 1.28
    many: int = 5
    outlier: float = 0.25
    even: float = 0.1
    shared_nouns: float = 0.95
    shared_modifiers: float = 0.7
    nearer: float = 0.1
    on_person: float = 0.7
    margin: float = 0.5
    late: float = 0.5


LIMITS = Limits()


@dataclass(frozen=True)
class Remedy:
    """A change of the prompt that a click makes (js/report/remedies.js). kind: "weight", the word gets this weight; "first", it goes to
    the front; "split", a comma parts two things; "remove", the words go. words: as listed."""

    kind: str
    words: tuple[str, ...]
    weight: float | None = None


@dataclass(frozen=True)
class Finding:
    """kind: one of KINDS. words: the words, tags or things it is about, the most concerned one first. headline: what was seen, as
    a plain sentence; reason: what that rests on, sentences with numbers; tip: one thing to try. numbers: for scripts. nouns: the nouns of
    the things it is about. remedies: what of the tip a click can do. details: the single findings of one cause (hrv/report/causes.py); none
    for a single one."""

    kind: str
    words: tuple[str, ...]
    headline: str
    tip: str
    reason: str = ""
    numbers: dict[str, float] = field(default_factory=dict)
    nouns: tuple[str, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    details: tuple[Finding, ...] = ()

    @property
    def text(self) -> str:
        """The sentence, and what it rests on."""
        return sentences(self.headline, self.reason)

    def mark(self, word: str) -> str:
        """What stands beside a word that the finding names: one or two words."""
        other = next((w for w in self.words if w != word), "")
        return {
            "ignored": said("ignored"),
            "no place": said("missing?"),
            "shared place": said("with {word}", word=other),
            "wrong noun": said("on {word}", word=self.words[-1]),
            "doubtful sense": said("which sense?"),
            "late part": said("late"),
        }[self.kind]


def gathers(evidence: Evidence, word: WordFacts, limits: Limits = LIMITS) -> bool:
    """Whether a word has a place at all: its map gathers more than filler words' do, and is not even."""
    level = filler_level(evidence)
    return word.gathering >= max(limits.even, limits.ignored_gathering * level[1] if level else 0.0)


def filler_level(evidence: Evidence) -> tuple[float, float] | None:
    """(strength, gathering) that filler words and punctuation get: medians. None where the prompt has none."""
    if not evidence.fillers:
        return None
    return (
        statistics.median(f.strength for f in evidence.fillers),
        statistics.median(f.gathering for f in evidence.fillers),
    )


def bare(name: str) -> str:
    """A listed name without the number that tells it from others: `red` for `red#2`."""
    return re.sub(r"(?<=.)#\d+$", "", name)


def typed(name: str) -> str:
    """A listed name as it must be typed into a prompt: brackets that are no weights are escaped."""
    return re.sub(r"([()])", r"\\\1", bare(name))


def louder_remedies(name: str, weight: float) -> tuple[Remedy, ...]:
    """What a click can do of `louder`."""
    first = Remedy("first", (name,))
    if weight < 1:
        return (Remedy("weight", (name,), 1.2),)
    return (Remedy("weight", (name,), round(weight + 0.3, 1)), first) if weight < 1.3 else (first,)


def louder(name: str, weight: float) -> Said:
    """What to do for one word that gets too little."""
    typed_name, now = typed(name), figure(f"{weight:g}")
    if weight < 1:
        return said(
            "Its weight is {weight}: raise it, for example `({typed}:1.2)`.", weight=now, typed=typed_name
        )
    if weight < 1.3:
        return said(
            "Give it more weight, `({typed}:{more})`, or put it first in the prompt.",
            typed=typed_name,
            more=f"{weight + 0.3:.1f}",
        )
    return said(
        "It already has a weight of {weight}. Put it first in the prompt and remove other words, or run Strengthen Concept on “{word}”.",
        weight=now,
        word=bare(name),
    )
