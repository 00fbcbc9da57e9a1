"""The prompt and the seed that example workflow 15 and the help page of Attend and Excite show.

    .host/venv/bin/python tools/make_excite_picture.py --search     finds seeds after the demo checkpoint has changed

Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ExciteExample:
    """Two things, of which the picture lacks one without the node, and has both with it. things: their kinds, in any order."""

    prompt: str
    words: str
    things: tuple[str, str]
    strength: float
    seed: int


MISSING = ExciteExample("a house and a tree on grass", "house, tree", ("house", "tree"), 3.0, 5)
