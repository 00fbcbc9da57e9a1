"""Numbers and texts as an artist reads them."""

from __future__ import annotations

import math


def counted(number: int, thing: str) -> str:
    """`counted(1, "model evaluation")` is "1 model evaluation"; any other number takes the plural in -s."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def share_text(value: float) -> str:
    """A share of attention as an artist reads it: 0.0312 is `3.1 %`."""
    percent = 100 * value
    if percent == 0:
        return "0 %"
    if percent < 1e-4:
        return "< 0.0001 %"
    digits = max(0, 1 - math.floor(math.log10(percent)))
    return f"{percent:.{digits}f} %"


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
