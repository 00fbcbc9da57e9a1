"""Draws the wishes of benchmarks/mending_cases.py with the pack's nodes and KSampler, and asks the judge.

What the judge said is kept in /tmp for each checkpoint, so that a run that was broken off goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from mending_cases import Answers, Wish
from studio import QuickStudio

LEFT = {"start_percent": 0.0, "end_percent": 1.0}
EVERY_HEAD, EXCITE = "all heads alike", "Attend and Excite"


@dataclass(frozen=True)
class Treatment:
    """kind: "plain", "relevance" (Strengthen Concept, or Adjust Concept for a word with two senses), EVERY_HEAD (Scale Heads
    with every head) or EXCITE. source: which vectors; empty for none. amount: the node's strength, or its factor."""

    kind: str
    source: str = ""
    amount: float = 0.0

    @property
    def name(self) -> str:
        return {"plain": "unsteered", "relevance": f"by {self.source}"}.get(self.kind, self.kind) + (
            f", heads by {self.source}" if self.kind == EXCITE and self.source else ""
        )

    @property
    def short(self) -> str:
        """As the command's option --only calls it."""
        return {EVERY_HEAD: "words", EXCITE: "excite"}.get(self.kind, self.source)


PLAIN = Treatment("plain")


class Studio(QuickStudio):
    """The demo model, head relevance by name, and what the judge said so far."""

    def __init__(self, checkpoint: Path, vectors: dict[str, Path], steps: int):
        from hrv_pack.hrv.files import vector_files

        super().__init__(checkpoint)
        self.steps = steps
        self.vectors = {name: vector_files.read(path) for name, path in vectors.items()}
        self._versions = {"": "", **{name: _digest(path) for name, path in vectors.items()}}
        self._kept = Path("/tmp/hrv_mending") / f"{_digest(checkpoint)}_{steps}.jsonl"
        self._kept.parent.mkdir(exist_ok=True)
        lines = self._kept.read_text().splitlines() if self._kept.is_file() else ()
        self._known: dict[str, list] = dict(json.loads(line) for line in lines)

    def answers(
        self, wish: Wish, words: tuple[str, ...], how: Treatment, seed: int, places: tuple[int, ...]
    ) -> list[Answers]:
        """What the judge sees in these pictures of a batch; places: their numbers in it. words: those that are steered."""
        node = [] if how == PLAIN else [words, how.kind, self._versions[how.source], how.amount]
        keys = [json.dumps([wish.text, *node, seed, place]) for place in places]
        if not all(key in self._known for key in keys):
            pictures = self.draw(self.treated(wish, words, how), wish.text, seed, places, self.steps)
            with self._kept.open("a") as file:
                for key, seen in zip(keys, self.seen(pictures, wish.things), strict=True):
                    self._known[key] = seen
                    file.write(json.dumps([key, seen]) + "\n")
        return [tuple(self._known[key]) for key in keys]

    def treated(self, wish: Wish, words: tuple[str, ...], how: Treatment):
        """The model behind the node that this treatment stands for."""
        from hrv_pack.hrv.heads.selection import HeadSelection
        from hrv_pack.nodes.steer.attend_excite import HRVAttendExcite
        from hrv_pack.nodes.steer.steering import HRVAdjustConcept, HRVScaleHeads, HRVStrengthenConcept

        names, vectors = ", ".join(words), self.vectors.get(how.source)
        if how == PLAIN:
            return self.model
        if how.kind == EXCITE:
            given = {} if vectors is None else {"vectors": vectors, "concept": wish.concept}
            out = HRVAttendExcite.execute(self.model, names, how.amount, 0.0, 0.5, **given)
        elif how.kind == EVERY_HEAD:
            layout = next(iter(self.vectors.values())).layout
            heads = HeadSelection(layout, torch.ones(layout.heads), "every head")
            out = HRVScaleHeads.execute(self.model, heads, how.amount, words=names, **LEFT)
        elif wish.unwanted is not None:
            out = HRVAdjustConcept.execute(
                self.model, vectors, wish.concept, wish.unwanted, how.amount, 0.0, words=names, **LEFT
            )
        else:
            out = HRVStrengthenConcept.execute(
                self.model, vectors, wish.concept, how.amount, 0.0, words=names, **LEFT
            )
        return out.result[0]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
