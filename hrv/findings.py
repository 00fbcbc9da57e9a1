"""What went wrong with a prompt, in an artist's words, each with one thing to try.

Every rule compares words of one prompt with each other; docs/formulas.md, "Prompt report", says how and why, and
benchmarks/report.py measures how often a finding is right.
"""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass, field

from .draw import share
from .evidence import Evidence, WordFacts
from .presence import presences

MOST_ALIKE = (
    0.95  # nouns that agree more are treated as if they agreed by this: their difference is mostly noise
)
APART = (
    "Say where each is (“on the left”, “on the right”), or give each its own area: Conditioning (Set Area) on two prompts, "
    "then Conditioning (Combine)."
)
KINDS = ("ignored", "no place", "shared place", "wrong noun", "doubtful sense", "late part")


@dataclass(frozen=True)
class Limits:
    """Where findings begin; benchmarks/report.py measures how often they are right, and can choose them.

    ignored_strength, ignored_gathering: a word is ignored below these parts of what filler words get.
    thin: what the strength of a bare place (“on grass”) is compared with is multiplied by this: it lies thin over the picture.
    lone_strength, lone_gathering: the same against the other words, where a prompt has no filler words.
    presence: a noun's thing may be missing below this `Presence.level`.
    even: a map that gathers less than this counts as even, whatever filler words do.
    shared_nouns, shared_modifiers: correlation of two maps from which on they lie in one place. margin: by how much a
    modifier must lie better on another noun.
    late: strength of a later part against the first.
    """

    ignored_strength: float = 0.8
    ignored_gathering: float = 0.8
    thin: float = 0.5
    lone_strength: float = 0.5
    lone_gathering: float = 0.5
    presence: float = 1.28
    even: float = 0.1
    shared_nouns: float = 0.85
    shared_modifiers: float = 0.75
    margin: float = 0.5
    late: float = 0.5


LIMITS = Limits()


@dataclass(frozen=True)
class Finding:
    """kind: one of KINDS. words: the words it is about, the most concerned one first. text: what was seen; tip: one
    thing to try. numbers: what the text rests on, for scripts."""

    kind: str
    words: tuple[str, ...]
    text: str
    tip: str
    numbers: dict[str, float] = field(default_factory=dict)

    @property
    def headline(self) -> str:
        """The finding in a few words."""
        first, *others = self.words
        if self.kind == "wrong noun":
            return f"“{first}” sits on “{others[1]}”, not on “{others[0]}”"
        if self.kind == "shared place":
            return f"“{first}” and “{others[0]}” share one place"
        if self.kind == "late part":
            return f"words from “{first}” on came late and got little"
        if self.kind == "no place":
            return f"“{first}” has no place: it may be missing"
        return f"“{first}” was ignored" if self.kind == "ignored" else f"“{first}”: sense in doubt"

    def mark(self, word: str) -> str:
        """What stands beside a word that the finding names: one or two words."""
        other = next((w for w in self.words if w != word), "")
        marks = {"shared place": f"with {other}", "wrong noun": f"on {self.words[-1]}"}
        marks |= {"doubtful sense": "which sense?", "late part": "late"}
        return marks.get(self.kind, self.kind)


@dataclass(frozen=True)
class Bond:
    """Where one modifier lies: correlation of its map with its own noun's and with each other noun's.

    holder: the noun on which it lies, its own unless another is better by the margin; None where it agrees with no noun.
    """

    modifier: str
    noun: str
    holder: str | None
    own: float
    others: dict[str, float]


def find(evidence: Evidence, limits: Limits = LIMITS) -> list[Finding]:
    """All findings of one picture but those that need head relevance, the gravest kinds first."""
    return [
        *(ignored := ignored_words(evidence, limits)),
        *(
            found
            for found in lost_nouns(evidence, limits)
            if found.words not in [one.words for one in ignored]
        ),
        *shared_places(evidence, limits),
        *wrong_nouns(bonds(evidence, limits)),
        *late_parts(evidence, limits),
    ]


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


def ignored_words(evidence: Evidence, limits: Limits = LIMITS) -> list[Finding]:
    """Content words that were looked at less than filler words, and whose attention gathers less than theirs."""
    level, against = filler_level(evidence), "filler words"
    factors = (limits.ignored_strength, limits.ignored_gathering)
    if level is None:
        if len(evidence.content) < 3:
            return []  # nothing to compare with
        factors, against = (limits.lone_strength, limits.lone_gathering), "the other words"
        level = (
            statistics.median(w.strength for w in evidence.content),
            statistics.median(w.gathering for w in evidence.content),
        )
    places = {phrase.noun for phrase in evidence.phrases if phrase.is_place}
    found = []
    for word in evidence.content:
        thin = limits.thin if word.name in places else 1.0
        if word.strength < thin * factors[0] * level[0] and word.gathering < max(
            limits.even, factors[1] * level[1]
        ):
            text = (
                f"“{word.name}” was hardly looked at: {share(word.strength)} of the attention where it gets most, "
                f"against {share(level[0])} for {against}, and its attention gathers in no place."
            )
            numbers = {"strength": word.strength, "filler_strength": level[0]}
            numbers |= {"gathering": word.gathering, "filler_gathering": level[1]}
            found.append(Finding("ignored", (word.name,), text, _louder(word), numbers))
    return found


def lost_nouns(evidence: Evidence, limits: Limits = LIMITS) -> list[Finding]:
    """Nouns whose attention gathers, but whose thing does not seem to be in the picture."""
    found = []
    for one in presences(evidence):
        noun = evidence.words[one.noun]
        if one.level >= limits.presence or not gathers(evidence, noun, limits):
            continue
        reasons = [
            f"the attention heads agree by {one.agreed:.2f} of 1 where it is, against {one.clearest[1]:.2f} for “{one.clearest[0]}”"
        ]
        if one.mixed > 0:
            reasons.append(f"what describes it lies with what describes “{one.beside}”")
        if one.strength < 1:
            reasons.append(f"its words get {one.strength:.0%} of what those of other things get")
        text = f"“{noun.name}” may be missing: {', and '.join(reasons)}."
        numbers = {"presence": one.level, "consent": one.agreed, "clearest_consent": one.clearest[1]}
        numbers |= {"gathering": one.gathering, "mixed": one.mixed, "relative_strength": one.strength}
        found.append(Finding("no place", (noun.name,), text, _louder(noun), numbers))
    return found


def shared_places(evidence: Evidence, limits: Limits = LIMITS) -> list[Finding]:
    """Pairs of nouns, and pairs of modifiers of different nouns, that have a place and whose maps are almost the same.

    Bare places (“on grass”) do not count: things lie in them.
    """
    places = {phrase.noun for phrase in evidence.phrases if phrase.is_place}
    nouns = [noun.name for noun in evidence.nouns if noun.name not in places]
    modifiers = {m: p.noun for p in evidence.phrases for m in p.modifiers if m not in nouns}
    pairs = [(*pair, "", limits.shared_nouns) for pair in itertools.combinations(nouns, 2)]
    for first, second in itertools.combinations(modifiers, 2):
        is_same_word = first.partition("#")[0] == second.partition("#")[0]
        if modifiers[first] != modifiers[second] and not is_same_word:
            whose = f", though they belong to “{modifiers[first]}” and to “{modifiers[second]}”"
            pairs.append((first, second, whose, limits.shared_modifiers))
    found = []
    for first, second, whose, limit in pairs:
        alike = evidence.agreement(first, second)
        has_place = (gathers(evidence, evidence.words[word], limits) for word in (first, second))
        if alike < limit or not all(has_place):
            continue
        numbers = {"agreement": alike, "iou": evidence.iou(first, second)}
        text = (
            f"“{first}” and “{second}” share one place{whose} (their maps agree by {alike:.2f} of 1, and {numbers['iou']:.0%} "
            "of the place is the same). If two things are meant, one is missing or they were mixed; if one is a part of the "
            "other, all is well."
        )
        found.append(Finding("shared place", (first, second), text, APART, numbers))
    return found


def bonds(evidence: Evidence, limits: Limits = LIMITS) -> list[Bond]:
    """Where each modifier lies, for prompts with at least two nouns. A bare place (“on grass”) takes no modifiers, and a
    modifier that gathers nowhere sits on no other noun."""
    places = {phrase.noun for phrase in evidence.phrases if phrase.is_place}
    nouns = [noun.name for noun in evidence.nouns]
    if len(nouns) < 2:
        return []
    found = []
    for phrase in evidence.phrases:
        for name in phrase.modifiers:
            own = evidence.agreement(name, phrase.noun)
            others = {
                n: evidence.agreement(name, n)
                for n in nouns
                if n not in (phrase.noun, name) and n not in places
            }
            leads = {n: _lead(away, own, evidence.agreement(n, phrase.noun)) for n, away in others.items()}
            best = max(leads, key=leads.__getitem__, default=phrase.noun)
            is_somewhere = gathers(evidence, evidence.words[name], limits)
            moved = is_somewhere and best in leads and leads[best] >= limits.margin and others[best] > 0
            holder = best if moved else phrase.noun
            placed = max([own, *others.values()]) > 0
            found.append(Bond(name, phrase.noun, holder if placed else None, own, others))
    return found


def _lead(away: float, own: float, alike: float) -> float:
    """Correlation of a modifier with the difference of two nouns' standardised maps: what both have in common, such as
    standing out from the background, does not count."""
    return (away - own) / (2 - 2 * min(alike, MOST_ALIKE)) ** 0.5


def wrong_nouns(found: list[Bond]) -> list[Finding]:
    """Modifiers that lie on another noun than the one they stand before."""
    findings = []
    for bond in found:
        if bond.holder is None or bond.holder == bond.noun:
            continue
        away = bond.others[bond.holder]
        text = (
            f"“{bond.modifier}” was meant for “{bond.noun}” but sits on “{bond.holder}” "
            f"(agreement {away:.2f} of 1, against {bond.own:.2f} with its own noun)."
        )
        tip = (
            f"Part the things with a comma and name each with its own word, “{bond.modifier} {bond.noun}, …”; or run "
            f"Strengthen Concept on “{bond.modifier}”, with the concept it belongs to (Color for a colour)."
        )
        numbers = {"own": bond.own, "other": away}
        findings.append(Finding("wrong noun", (bond.modifier, bond.noun, bond.holder), text, tip, numbers))
    return findings


def late_parts(evidence: Evidence, limits: Limits = LIMITS) -> list[Finding]:
    """Parts of the prompt beyond the first 77 tokens whose words were looked at much less than those of the first."""
    strengths: dict[int, list[WordFacts]] = {}
    for word in evidence.content:
        strengths.setdefault(word.chunk, []).append(word)
    if 1 not in strengths:
        return []
    level = {chunk: statistics.median(w.strength for w in words) for chunk, words in strengths.items()}
    found = []
    for chunk in sorted(level):
        if chunk == 1 or level[chunk] >= limits.late * level[1]:
            continue
        words = [w.name for w in strengths[chunk]]
        named = ", ".join(f"“{name}”" for name in words[:6]) + (" …" if len(words) > 6 else "")
        text = (
            f"The words after token {77 * (chunk - 1)} got little: {share(level[chunk])} of the attention in the middle "
            f"of them, against {share(level[1])} in the first part. They are: {named}."
        )
        tip = "Move what matters most into the first 75 tokens, and take away words that change nothing."
        numbers = {"part": float(chunk), "strength": level[chunk], "first_strength": level[1]}
        found.append(Finding("late part", tuple(words), text, tip, numbers))
    return found


def _louder(word: WordFacts) -> str:
    name = word.name.partition("#")[0]
    if word.weight < 1:
        return f"Its weight is {word.weight:g}: raise it, for instance `({name}:1.2)`."
    if word.weight < 1.3:
        return f"Give it more weight: `({name}:{word.weight + 0.3:.1f})`; or name it first in the prompt."
    return (
        f"It has the weight {word.weight:g} already. Name it first in the prompt and take other words away, or run "
        f"Strengthen Concept on “{name}”."
    )
