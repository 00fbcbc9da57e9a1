"""What went wrong with a prompt, in an artist's words, each with one thing to try.

Every rule compares words of one prompt with each other; docs/formulas.md, "Prompt report", says how and why, and
benchmarks/report.py measures how often a finding is right. hrv/report/causes.py tells findings of one cause in one sentence.
"""

from __future__ import annotations

import statistics

from ..effect.effect import IDLE
from ..wording import Said, figure, percent_text, quoted, said, sentences, share_text
from .binding import bonds, shared_places, wrong_nouns
from .evidence import Evidence, WordFacts
from .finding import LIMITS, Finding, Limits, filler_level, gathers, louder, louder_remedies
from .presence import Presence, presences

LESS_THAN_FILLERS = "It gets {strength} of the attention where it gets the most, filler words get {level}, and its attention is not concentrated anywhere."
LESS_THAN_OTHERS = (
    "It gets {strength} of the attention where it gets the most, the other words get {level}, and its attention is not concentrated "
    "anywhere."
)
MISSING_OR_MIXED = "{words} may be missing, or mixed up with “{other}”."


def find(evidence: Evidence, limits: Limits = LIMITS) -> list[Finding]:
    """All findings of one image but those that need head relevance, each for itself, the gravest kinds first."""
    ignored = ignored_words(evidence, limits)
    named = {word for one in ignored for word in one.words}
    return [
        *(one for one in lost_nouns(evidence, limits) if not named & {*one.words, *one.nouns}),
        *ignored,
        *shared_places(evidence, limits),
        *wrong_nouns(bonds(evidence, limits), evidence),
        *late_parts(evidence, limits),
    ]


def ignored_words(evidence: Evidence, limits: Limits = LIMITS) -> list[Finding]:
    """Words that ask for something to be drawn, but changed nothing; where what they changed is not known, those that were looked at
    less than filler words, and whose attention gathers less than theirs."""
    return [*changed_nothing(evidence), *_hardly_looked_at(evidence, _nouns_of(evidence), limits)]


def changed_nothing(evidence: Evidence) -> list[Finding]:
    """Of the words of which it is known what they changed, those without which the image is the same."""
    nouns = _nouns_of(evidence)
    return [_idle(word, nouns) for word in evidence.asked if word.effect is not None and word.effect < IDLE]


def _nouns_of(evidence: Evidence) -> dict[str, list[str]]:
    """Entry → the nouns in it."""
    nouns: dict[str, list[str]] = {}
    for phrase in evidence.phrases:
        nouns.setdefault(evidence.entry_of.get(phrase.noun, phrase.noun), []).append(phrase.noun)
    return nouns


def _idle(word: WordFacts, nouns: dict[str, list[str]]) -> Finding:
    """A word without which the image is the same."""
    effect = word.effect or 0.0
    return Finding(
        "ignored",
        (word.name,),
        said("“{word}” changed nothing.", word=word.name),
        tip=sentences(said("Leave it out, or make it count."), louder(word.name, word.weight)),
        reason=said(
            "Without it the image moves by {effect} of what the whole prompt changes. It gets {strength} of the attention where it gets the "
            "most.",
            effect=share_text(effect),
            strength=share_text(word.strength),
        ),
        numbers={"effect": effect, "strength": word.strength},
        remedies=louder_remedies(word.name, word.weight),
        nouns=tuple(nouns.get(word.name, ())),
    )


def _hardly_looked_at(evidence: Evidence, nouns: dict[str, list[str]], limits: Limits) -> list[Finding]:
    """Of the words of which it is not known what they changed."""
    level, against = filler_level(evidence), LESS_THAN_FILLERS
    factors = (limits.ignored_strength, limits.ignored_gathering)
    if level is None:
        if len(evidence.asked) < 3:
            return []  # nothing to compare with
        factors, against = (limits.lone_strength, limits.lone_gathering), LESS_THAN_OTHERS
        level = (
            statistics.median(w.strength for w in evidence.asked),
            statistics.median(w.gathering for w in evidence.asked),
        )
    places = {evidence.thing(phrase.noun) for phrase in evidence.phrases if phrase.is_place}
    found = []
    for word in evidence.asked:
        if word.effect is not None:
            continue
        thin = limits.thin if word.name in places else 1.0
        is_weak = word.strength < thin * factors[0] * level[0]
        if is_weak and word.gathering < max(limits.even, factors[1] * level[1]):
            reason = said(against, strength=share_text(word.strength), level=share_text(level[0]))
            numbers = {"strength": word.strength, "filler_strength": level[0]}
            numbers |= {"gathering": word.gathering, "filler_gathering": level[1]}
            tip = louder(word.name, word.weight)
            of_word = tuple(nouns.get(word.name, ()))
            found.append(
                Finding(
                    "ignored",
                    (word.name,),
                    said("“{word}” was hardly looked at.", word=word.name),
                    tip=tip,
                    reason=reason,
                    numbers=numbers,
                    nouns=of_word,
                    remedies=louder_remedies(word.name, word.weight),
                )
            )
    return found


def lost_nouns(evidence: Evidence, limits: Limits = LIMITS) -> list[Finding]:
    """Nouns whose attention gathers, but whose thing does not seem to be in the image."""
    known = presences(evidence)
    most = limits.presence
    if len(known) >= limits.many:
        most = min(most, statistics.median(one.level for one in known) - limits.outlier)
    found = []
    for one in known:
        noun = evidence.words[one.noun]
        if one.level >= most or not gathers(evidence, noun, limits):
            continue
        name = evidence.thing(one.noun)
        is_mixed = one.level + one.mixing >= most  # it is below the limit for this alone
        headline = said("“{word}” may be missing.", word=name)
        if is_mixed:
            headline = said(MISSING_OR_MIXED, words=quoted([name]), other=evidence.thing(one.beside))
        numbers = {"presence": one.level, "consent": one.agreed, "clearest_consent": one.clearest[1]}
        numbers |= {"gathering": one.gathering, "mixed": one.mixed, "relative_strength": one.strength}
        found.append(
            Finding(
                "no place",
                (name,),
                headline,
                tip=louder(name, noun.weight),
                reason=_why_lost(one, evidence),
                numbers=numbers,
                nouns=(one.noun, one.beside) if is_mixed else (one.noun,),
                remedies=louder_remedies(name, noun.weight),
            )
        )
    return found


def _why_lost(one: Presence, evidence: Evidence) -> Said:
    agreed = said(
        "The attention heads that find it best agree on its location by {agreed} out of 1, on that of “{clearest}” by {most}.",
        agreed=figure(f"{one.agreed:.2f}"),
        clearest=one.clearest[0],
        most=figure(f"{one.clearest[1]:.2f}"),
    )
    mixed = said(
        "What describes it is in the same place as what describes “{other}”.",
        other=evidence.thing(one.beside),
    )
    weak = said(
        "Its words get {part} of the attention that the words of other things get.",
        part=percent_text(one.strength),
    )
    return sentences(agreed, mixed if one.mixed > 0 else "", weak if one.strength < 1 else "")


def late_parts(evidence: Evidence, limits: Limits = LIMITS) -> list[Finding]:
    """Parts of the prompt beyond the first 77 tokens whose words were looked at much less than those of the first."""
    strengths: dict[int, list[WordFacts]] = {}
    for word in evidence.asked:
        strengths.setdefault(word.chunk, []).append(word)
    if 1 not in strengths:
        return []
    level = {chunk: statistics.median(w.strength for w in words) for chunk, words in strengths.items()}
    found = []
    for chunk in sorted(level):
        if chunk == 1 or level[chunk] >= limits.late * level[1]:
            continue
        words = tuple(w.name for w in strengths[chunk])
        headline = said("The words from “{word}” onwards came late and were hardly looked at.", word=words[0])
        reason = said(
            "After token {token} the median word gets {share} of the attention, in the first part {first}.",
            token=77 * (chunk - 1),
            share=share_text(level[chunk]),
            first=share_text(level[1]),
        )
        tip = said("Move what matters most into the first 75 tokens, and remove words that change nothing.")
        numbers = {"part": float(chunk), "strength": level[chunk], "first_strength": level[1]}
        found.append(Finding("late part", words, headline, tip=tip, reason=reason, numbers=numbers))
    return found
