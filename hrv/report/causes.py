"""Findings of one cause told in one sentence: at most one for each kind, the gravest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..wording import Said, quoted, said, sentences
from .evidence import Evidence
from .finding import APART, KINDS, Finding, bare, louder
from .findings import MISSING_OR_MIXED

LISTED = 3  # names in a sentence before the rest is counted
FEW = 3  # words that may all be given more weight
SEVERAL = 5  # things that may all be told where to be
FEWER = said(
    "Remove what matters least, because one image may not show it all, or give some of it an area of its "
    "own: Conditioning (Set Area), then Conditioning (Combine)."
)

OR_APART = said(
    "Or say where each one is (“on the left”, “on the right”), or give each its own area: Conditioning (Set Area) on two prompts, then "
    "Conditioning (Combine)."
)


def by_cause(found: Sequence[Finding], evidence: Evidence) -> list[Finding]:
    """The findings of one image, grouped; `details` of each are the single ones it is made of."""
    of = {kind: [one for one in found if one.kind == kind] for kind in KINDS}
    late = {word for one in of["late part"] for word in one.words}
    of["late part"] += [one for one in of["ignored"] if one.words[0] in late]
    of["ignored"] = [one for one in of["ignored"] if one.words[0] not in late]
    of["no place"].sort(key=lambda one: one.numbers["presence"])
    of["ignored"].sort(key=lambda one: (not one.nouns, one.numbers["strength"]))
    _share_causes(of, evidence)
    groups = []
    for kind, tell in _TELLERS.items():
        if of[kind]:
            own = [one for one in of[kind] if one.kind == kind]
            told = own[0] if len(own) == 1 == len(of[kind]) else tell(of[kind], evidence)
            groups.append(replace(told, details=tuple(of[kind])))
    return groups


def _share_causes(of: dict[str, list[Finding]], evidence: Evidence) -> None:
    """Two things and what describes them seem mixed because a modifier sits on the wrong noun: told with that. Two things share a
    place because one of them is missing: told with it."""
    wrong = {frozenset(one.nouns) for one in of["wrong noun"]}
    for kind in ("no place", "shared place"):
        of["wrong noun"] += [one for one in of[kind] if frozenset(one.nouns) in wrong]
        of[kind] = [one for one in of[kind] if frozenset(one.nouns) not in wrong]
    lost = {one.nouns[0] for one in of["no place"]}
    rest = []
    for group in _components(of["shared place"]):
        nouns = {noun for one in group for noun in one.nouns}
        (of["no place"] if len(nouns) == 2 and len(nouns - lost) <= 1 else rest).extend(group)
    of["shared place"] = rest


def _components(pairs: Sequence[Finding]) -> list[list[Finding]]:
    """Pairs that hang together by a noun, in the order of their first pair."""
    groups: list[tuple[set[str], list[Finding]]] = []
    for one in pairs:
        joined = [group for group in groups if group[0] & set(one.nouns)]
        nouns = set(one.nouns).union(*(group[0] for group in joined))
        members = [member for group in joined for member in group[1]] + [one]
        place = groups.index(joined[0]) if joined else len(groups)
        groups = [group for group in groups if group not in joined]
        groups.insert(place, (nouns, members))
    return [members for _, members in groups]


def _tell_lost(found: list[Finding], evidence: Evidence) -> Finding:
    lost = [one for one in found if one.kind == "no place"]
    first, names, nouns = lost[0], _names(lost), [one.nouns[0] for one in lost]
    mixed = [set(one.nouns) for one in found if len(one.nouns) == 2]
    headline = said("{words} may be missing.", words=listing(names))
    if len(lost) == 1:
        headline = said("“{word}” may be missing.", word=names[0])
    tip = _start(first, evidence, alone=len(lost) == 1)
    other = (
        next((noun for pair in mixed for noun in pair if noun != nouns[0]), None) if len(lost) == 1 else None
    )
    if other is not None:
        headline = said(MISSING_OR_MIXED, words=listing(names), other=evidence.thing(other))
        tip = sentences(tip, OR_APART)
    elif len(lost) == 2 and set(nouns) in mixed:
        headline = said("{words} may be missing, or mixed up with each other.", words=listing(names))
        tip = sentences(tip, OR_APART)
    elif len(lost) > FEW:
        tip, first = FEWER, replace(first, remedies=())
    return replace(first, words=names, headline=headline, tip=tip, reason="")


def _tell_ignored(found: list[Finding], evidence: Evidence) -> Finding:
    names, first = _names(found), found[0]
    tip = _start(first, evidence)
    if len(names) > FEW:
        tip = said(
            "Put what matters most first, and remove what the image can do without. More weight helps one or two words, not all of them."
        )
        first = replace(first, remedies=first.remedies[-1:])
    asked = "effect" in first.numbers
    if len(names) == 1:
        one = "“{word}” changed nothing." if asked else "“{word}” was hardly looked at."
        return replace(first, headline=said(one, word=names[0]), tip=tip, reason="")
    many = "{words} changed nothing." if asked else "{words} were hardly looked at."
    return replace(first, words=names, headline=said(many, words=listing(names)), tip=tip, reason="")


def _tell_shared(found: list[Finding], evidence: Evidence) -> Finding:
    groups = _components(found)
    members = [tuple(dict.fromkeys(_things(group, evidence))) for group in groups]
    first = groups[0][0]
    words = tuple(dict.fromkeys(name for names in members for name in names))
    if len(groups) == 1 and len(words) == 2:
        of_nouns = next((one for one in found if set(one.words) == set(words)), first)
        return of_nouns if len(found) == 1 else replace(of_nouns, reason="")
    advice = APART if len(words) <= SEVERAL else FEWER
    is_of_things = any(set(one.words) <= set(words) for one in found)
    if len(groups) == 1:
        of_all = (
            "{words} are in the same place."
            if is_of_things
            else "What describes {words} is in the same place."
        )
        headline = said(of_all, words=listing(words))
    else:
        start = said("Some things are in the same place:")
        if not is_of_things:
            start = said("What describes different things is in the same place:")
        headline = _with_two(
            start,
            [
                said("{word} with {others}", word=listing(names[:1]), others=listing(names[1:]))
                for names in members
            ],
        )
    tip = sentences(advice, said("If they belong to one thing, this is fine.") if is_of_things else "")
    return replace(first, words=words, headline=headline, tip=tip, reason="")


def _with_two(start: Said, told: Sequence[Said]) -> Said:
    """A sentence that names two of several examples."""
    one, two, *others = told
    if others:
        return said(
            "{start} {one}; {two}; and {count} more.", start=start, one=one, two=two, count=len(others)
        )
    return said("{start} {one}; {two}.", start=start, one=one, two=two)


def _things(group: Sequence[Finding], evidence: Evidence) -> list[str]:
    return [evidence.thing(noun) for one in group for noun in one.nouns]


def _tell_wrong(found: list[Finding], evidence: Evidence) -> Finding:
    wrong = [one for one in found if one.kind == "wrong noun"]
    first, *others = wrong
    if not others:
        return first
    words = tuple(dict.fromkeys([*_names(wrong), *(w for one in wrong for w in one.words[1:])]))
    whose = [
        said("“{word}” of “{thing}”", word=bare(one.words[0]), thing=one.words[1])
        if evidence.is_tag_list
        else quoted([bare(one.words[0])])
        for one in wrong
    ]
    if len(wrong) == 2 and wrong[0].nouns == wrong[1].nouns[::-1]:
        headline = said("{one} and {two} swapped places.", one=whose[0], two=whose[1])
    else:
        headline = _with_two(
            said("Words landed on the wrong thing:"),
            [
                said("{word} on “{thing}”", word=word, thing=one.words[2])
                for word, one in zip(whose, wrong, strict=True)
            ],
        )
    tip = sentences(said("Start with the first."), first.tip)
    return replace(first, words=words, headline=headline, tip=tip, reason="")


def _tell_late(found: list[Finding], evidence: Evidence) -> Finding:
    late = [one for one in found if one.kind == "late part"]
    words = tuple(dict.fromkeys(word for one in late for word in one.words))
    return replace(late[0], words=words, reason="" if len(late) > 1 else late[0].reason)


def _tell_senses(found: list[Finding], evidence: Evidence) -> Finding:
    names = _names(found)
    headline = said("It is unclear in which sense {words} were taken.", words=listing(names))
    return replace(found[0], words=names, headline=headline, reason="")


_TELLERS = {
    "no place": _tell_lost,
    "ignored": _tell_ignored,
    "shared place": _tell_shared,
    "wrong noun": _tell_wrong,
    "late part": _tell_late,
    "doubtful sense": _tell_senses,
}


def _start(first: Finding, evidence: Evidence, alone: bool = False) -> Said:
    """What to do for the first of several words."""
    noun = first.nouns[0] if first.kind == "no place" else first.words[0]
    listed = {entry.name: entry.weight for entry in evidence.entries}
    weight = listed.get(first.words[0], evidence.words[noun].weight if noun in evidence.words else 1.0)
    start = "" if alone else said("Start with “{word}”.", word=first.words[0])
    return sentences(start, louder(first.words[0], weight))


def _names(found: Sequence[Finding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.words[0] for one in found))


def listing(names: Sequence[str]) -> Said:
    """“a”, “b” and 3 more; up to LISTED names are all told."""
    return quoted(names, LISTED)
