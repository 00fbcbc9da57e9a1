"""Who got what: on which noun each modifier lies, and which things lie in one place. Formulas: docs/formulas.md, "Prompt report"."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass

from ..wording import figure, percent_text, quoted, said, sentences
from .evidence import Evidence
from .finding import APART, LIMITS, Finding, Limits, Remedy, bare, gathers, typed

MOST_ALIKE = (
    0.95  # nouns that agree more are treated as if they agreed by this: their difference is mostly noise
)


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


def shared_places(evidence: Evidence, limits: Limits = LIMITS) -> list[Finding]:
    """Pairs of nouns that have a place and whose maps are almost the same, and pairs of modifiers of two nouns, where the modifiers
    of the two lie nearer to each other than the nouns do.

    Bare places (“on grass”) do not count: things lie in them. In a list of tags neither do the same noun twice (“long hair, pink
    hair”), nor what lies on a person: most tags there describe one.
    """
    phrases = {phrase.noun: phrase for phrase in reversed(evidence.phrases) if not phrase.is_place}
    nouns = [noun.name for noun in evidence.nouns if noun.name in phrases]
    people = [noun for noun in nouns if phrases[noun].is_person] if evidence.is_tag_list else []
    described = {
        noun
        for noun in nouns
        for person in people
        if noun not in people and evidence.agreement(noun, person) >= limits.on_person
    }
    placed = {name for name, word in evidence.words.items() if gathers(evidence, word, limits)}
    found = []
    for first, second in itertools.combinations(nouns, 2):
        both = {first, second}
        is_described = both <= {*described, *people} and not both <= set(people)
        if evidence.is_tag_list and (is_described or _same(first, second)):
            continue
        if both <= placed and evidence.agreement(first, second) >= limits.shared_nouns:
            names = evidence.thing(first), evidence.thing(second)
            found.append(
                _shared(
                    evidence,
                    names=names,
                    words=(first, second),
                    nouns=(first, second),
                    headline=said(
                        "“{word}” and “{other}” are in the same place: one of them may be missing, or the two were mixed up.",
                        word=names[0],
                        other=names[1],
                    ),
                    tip=sentences(APART, said("If one is part of the other, this is fine.")),
                )
            )
        pairs = [
            (a, b)
            for a, b in itertools.product(phrases[first].modifiers, phrases[second].modifiers)
            if not _same(a, b)
        ]
        if not pairs:
            continue
        nearness = statistics.fmean(evidence.agreement(*pair) for pair in pairs)
        if nearness < evidence.agreement(first, second) + limits.nearer:
            continue
        for pair in pairs:
            if placed.issuperset(pair) and evidence.agreement(*pair) >= limits.shared_modifiers:
                headline = said(
                    "{words} are in the same place, though they belong to {things}.",
                    words=quoted([bare(name) for name in pair]),
                    things=quoted([evidence.thing(first), evidence.thing(second)]),
                )
                nouns_of_pair = (first, second)
                found.append(
                    _shared(
                        evidence, names=pair, words=pair, nouns=nouns_of_pair, headline=headline, tip=APART
                    )
                )
    return found


def _shared(evidence: Evidence, *, names, words, nouns, headline: str, tip: str) -> Finding:
    numbers = {"agreement": evidence.agreement(*words), "iou": evidence.iou(*words)}
    reason = said(
        "Their heatmaps agree by {agreement} out of 1, and {iou} of the area is the same.",
        agreement=figure(f"{numbers['agreement']:.2f}"),
        iou=percent_text(numbers["iou"]),
    )
    return Finding("shared place", names, headline, tip=tip, reason=reason, numbers=numbers, nouns=nouns)


def _same(first: str, second: str) -> bool:
    """Whether two listed names are of one word: `hair#1`, `Hair#2`."""
    return bare(first).casefold() == bare(second).casefold()


def bonds(evidence: Evidence, limits: Limits = LIMITS) -> list[Bond]:
    """Where each modifier lies, for prompts with at least two nouns. A bare place (“on grass”) takes no modifiers, and a
    modifier that gathers nowhere sits on no other noun. In a list of tags a person takes none of other tags, because what
    describes a part of a person lies on it; and the same noun twice is one thing."""
    places = {phrase.noun for phrase in evidence.phrases if phrase.is_place}
    people = {phrase.noun for phrase in evidence.phrases if phrase.is_person} if evidence.is_tag_list else ()
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
                if n not in (phrase.noun, name)
                and n not in places
                and n not in people
                and not (evidence.is_tag_list and _same(n, phrase.noun))
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


def wrong_nouns(found: list[Bond], evidence: Evidence) -> list[Finding]:
    """Modifiers that lie on another noun than the one they stand before."""
    findings = []
    for bond in found:
        if bond.holder is None or bond.holder == bond.noun:
            continue
        away = bond.others[bond.holder]
        own, other, plain = evidence.thing(bond.noun), evidence.thing(bond.holder), bare(bond.modifier)
        first = (
            said("Give “{word}” more weight, `({typed}:1.3)`.", word=bare(own), typed=typed(own))
            if evidence.is_tag_list
            else said(
                "Separate the things with a comma and give each its own word, “{word} {noun}, …”.",
                word=plain,
                noun=bare(bond.noun),
            )
        )
        then = said(
            "Or run Strengthen Concept on “{word}”, with the concept it belongs to (Color for a colour).",
            word=plain,
        )
        reason = said(
            "Its heatmap agrees by {away} out of 1 with “{other}”, by {own} with its own noun.",
            away=figure(f"{away:.2f}"),
            other=other,
            own=figure(f"{bond.own:.2f}"),
        )
        numbers = {"own": bond.own, "other": away}
        nouns = (bond.noun, bond.holder)
        findings.append(
            Finding(
                "wrong noun",
                (bond.modifier, own, other),
                said(
                    "“{word}” was meant for “{own}” but landed on “{other}”.",
                    word=plain,
                    own=own,
                    other=other,
                ),
                tip=sentences(first, then),
                reason=reason,
                numbers=numbers,
                nouns=nouns,
                remedies=(
                    (Remedy("weight", (own,), 1.3),) if evidence.is_tag_list else (Remedy("split", nouns),)
                ),
            )
        )
    return findings
