"""Findings of one cause told in one sentence: at most one for each kind, the gravest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .evidence import Evidence
from .finding import APART, KINDS, Finding, bare, louder

LISTED = 3  # names in a sentence before the rest is counted
FEW = 3  # words that may all be given more weight
SEVERAL = 5  # things that may all be told where to be
FEWER = (
    "Remove what matters least, because one image may not show it all, or give some of it an area of its "
    "own: Conditioning (Set Area), then Conditioning (Combine)."
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
    said, tip = f"{listing(names)} may be missing", _start(first, evidence, alone=len(lost) == 1)
    other = (
        next((noun for pair in mixed for noun in pair if noun != nouns[0]), None) if len(lost) == 1 else None
    )
    if other is not None:
        said, tip = f"{said}, or mixed up with “{evidence.thing(other)}”", f"{tip} Or {_small(APART)}"
    elif len(lost) == 2 and set(nouns) in mixed:
        said, tip = f"{said}, or mixed up with each other", f"{tip} Or {_small(APART)}"
    elif len(lost) > FEW:
        tip, first = FEWER, replace(first, remedies=())
    return replace(first, words=names, headline=f"{said}.", tip=tip, reason="")


def _tell_ignored(found: list[Finding], evidence: Evidence) -> Finding:
    names, first = _names(found), found[0]
    tip = _start(first, evidence)
    if len(names) > FEW:
        tip = (
            "Put what matters most first, and remove what the image can do without. More weight helps one "
            "or two words, not all of them."
        )
        first = replace(first, remedies=first.remedies[-1:])
    what = "changed nothing" if "effect" in first.numbers else "were hardly looked at"
    return replace(first, words=names, headline=f"{listing(names)} {what}.", tip=tip, reason="")


def _tell_shared(found: list[Finding], evidence: Evidence) -> Finding:
    groups = _components(found)
    members = [tuple(dict.fromkeys(_things(group, evidence))) for group in groups]
    first = groups[0][0]
    words = tuple(dict.fromkeys(name for names in members for name in names))
    if len(groups) == 1 and len(words) == 2:
        of_nouns = next((one for one in found if set(one.words) == set(words)), first)
        return of_nouns if len(found) == 1 else replace(of_nouns, reason="")
    advice = APART if len(words) <= SEVERAL else FEWER
    tip = f"{advice} If they belong to one thing, this is fine."
    is_of_things = any(set(one.words) <= set(words) for one in found)
    shown = [f"{listing(names[:1])} with {listing(names[1:])}" for names in members[:2]]
    more = f", and {_more(len(groups) - 2, 'more group')}" if len(groups) > 2 else ""
    if is_of_things:
        said = f"{listing(words)} are in the same place."
        if len(groups) > 1:
            said = f"Some things are in the same place: {'; '.join(shown)}{more}."
    else:
        said, tip = f"What describes {listing(words)} is in the same place.", advice
        if len(groups) > 1:
            said = f"What describes different things is in the same place: {'; '.join(shown)}{more}."
    return replace(first, words=words, headline=said, tip=tip, reason="")


def _things(group: Sequence[Finding], evidence: Evidence) -> list[str]:
    return [evidence.thing(noun) for one in group for noun in one.nouns]


def _tell_wrong(found: list[Finding], evidence: Evidence) -> Finding:
    wrong = [one for one in found if one.kind == "wrong noun"]
    first, *others = wrong
    if not others:
        return first
    words = tuple(dict.fromkeys([*_names(wrong), *(w for one in wrong for w in one.words[1:])]))
    whose = [f" of “{one.words[1]}”" if evidence.is_tag_list else "" for one in wrong]
    shown = ", ".join(
        f"“{bare(one.words[0])}”{owner} on “{one.words[2]}”"
        for one, owner in zip(wrong[:2], whose, strict=False)
    )
    if len(wrong) == 2 and wrong[0].nouns == wrong[1].nouns[::-1]:
        names = " and ".join(
            f"“{bare(one.words[0])}”{owner}" for one, owner in zip(wrong, whose, strict=True)
        )
        said = f"{names} swapped places."
    else:
        more = f" and {_more(len(wrong) - 2)}" if len(wrong) > 2 else ""
        said = f"Words landed on the wrong thing: {shown}{more}."
    return replace(first, words=words, headline=said, tip=f"For example, {_small(first.tip)}", reason="")


def _tell_late(found: list[Finding], evidence: Evidence) -> Finding:
    late = [one for one in found if one.kind == "late part"]
    words = tuple(dict.fromkeys(word for one in late for word in one.words))
    return replace(late[0], words=words, reason="" if len(late) > 1 else late[0].reason)


def _tell_senses(found: list[Finding], evidence: Evidence) -> Finding:
    names = _names(found)
    said = f"It is unclear in which sense {listing(names)} were taken."
    return replace(found[0], words=names, headline=said, reason="")


_TELLERS = {
    "no place": _tell_lost,
    "ignored": _tell_ignored,
    "shared place": _tell_shared,
    "wrong noun": _tell_wrong,
    "late part": _tell_late,
    "doubtful sense": _tell_senses,
}


def _start(first: Finding, evidence: Evidence, alone: bool = False) -> str:
    """What to do for the first of several words."""
    noun = first.nouns[0] if first.kind == "no place" else first.words[0]
    listed = {entry.name: entry.weight for entry in evidence.entries}
    weight = listed.get(first.words[0], evidence.words[noun].weight if noun in evidence.words else 1.0)
    return ("" if alone else f"Start with “{first.words[0]}”. ") + louder(first.words[0], weight)


def _names(found: Sequence[Finding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.words[0] for one in found))


def listing(names: Sequence[str]) -> str:
    """“a”, “b” and 3 more; up to LISTED names are all told."""
    shown = [f"“{name}”" for name in (names if len(names) <= LISTED else names[: LISTED - 1])]
    last = (
        _more(len(names) - len(shown)) if len(names) > len(shown) else shown.pop() if len(shown) > 1 else ""
    )
    return ", ".join(shown) + (f" and {last}" if last else "")


def _small(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def _more(count: int, what: str = "more") -> str:
    return f"{count} {what}{'s' if what != 'more' and count > 1 else ''}"
