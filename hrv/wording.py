"""Numbers and texts as an artist reads them, in English and for ComfyUI's page, which says them in its own language."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

LISTED = 6  # names in one sentence


class Said(str):
    """A sentence in English that the page can say in its language (js/page/said.js): to Python it is a text like any other.

    parts: what it is made of: {"text": template, "values": {name: value}}, {"sentences": [value, …]}, {"names": [text, …],
    "more": number} or {"figure": text}; a value is a text, a number or such parts. What is made of it by other means (an f-string, a join) is a plain text
    and stays English.
    """

    parts: dict[str, Any]

    def __new__(cls, english: str, parts: dict[str, Any]):
        new = super().__new__(cls, english)
        new.parts = parts
        return new

    def __getnewargs__(self) -> tuple:
        return str.__str__(self), self.parts  # for copies

    def __str__(self) -> str:
        return self  # an error that was given one gives it back


def said(template: str, **values: Any) -> Said:
    """The template with its values filled in. It is also what translations go by (js/languages/messages), so it has whole sentences, and
    values are numbers, names, or things that are `Said`.

    >>> said("“{word}” was hardly looked at.", word="fish")
    '“fish” was hardly looked at.'
    """
    given = {name: _part(value) for name, value in values.items()}
    return Said(template.format(**values), {"text": template, "values": given})


def sentences(*those: str) -> Said:
    """Whole sentences, one after the other; empty ones are left out."""
    told = [one for one in those if one]
    return Said(" ".join(told), {"sentences": [_part(one) for one in told]})


def quoted(names: Sequence[str], most: int = LISTED) -> Said:
    """“a”, “b” and 3 more; up to `most` names are all told."""
    shown = list(names) if len(names) <= most else list(names[: most - 1])
    more = len(names) - len(shown)
    parts = {"names": [str(name) for name in shown], "more": more}
    told = [f"“{name}”" for name in shown] + ([f"{more} more"] if more else [])
    return Said(" and ".join(filter(None, [", ".join(told[:-1]), told[-1]])) if told else "", parts)


def said_in(value: Any) -> dict[str, dict]:
    """Every `Said` in nested dicts, lists and tuples → its parts: for the page, beside the English texts."""
    if isinstance(value, Said):
        return {str.__str__(value): value.parts}
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return {text: parts for one in inner for text, parts in said_in(one).items()}


def _part(value: Any) -> Any:
    return value.parts if isinstance(value, Said) else value


def counted(number: int, thing: str) -> str:
    """`counted(1, "model evaluation")` is "1 model evaluation"; any other number takes the plural in -s."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def role_text(role: str) -> str:
    """Of a prompt: positive, negative, or as its guider calls it."""
    return {"positive": said("positive"), "negative": said("negative")}.get(role, role)


def figure(number: str) -> Said:
    """A number with its decimal point, which in some languages is a comma."""
    return Said(number, {"figure": number})


def share_text(value: float) -> Said:
    """A share of attention as an artist reads it: 0.0312 is `3.1 %`."""
    percent = 100 * value
    if percent == 0:
        return figure("0 %")
    if percent < 1e-4:
        return figure("< 0.0001 %")
    digits = max(0, 1 - math.floor(math.log10(percent)))
    return figure(f"{percent:.{digits}f} %")


def percent_text(value: float) -> Said:
    """A part in whole percent: 0.312 is `31 %`."""
    return figure(f"{100 * value:.0f} %")


def shortened(text: str, most: int) -> str:
    """A text in one line of at most so many letters.

    >>> shortened("a red\\n cat", 8)
    'a red c…'
    """
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def escaped(text: str, code: bool = False) -> str:
    """Text that Markdown shows as it is; with `code`, what stands between backquotes is code, where nothing is escaped."""
    parts = text.split("`") if code else [text]
    for place in range(0, len(parts), 2):
        parts[place] = "".join(f"\\{c}" if c in "\\|*_<>[]#`" else c for c in parts[place])
    return " ".join("`".join(parts).split())
