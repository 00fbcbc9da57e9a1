"""Everything that Prompt Report says of one image."""

from __future__ import annotations

from dataclasses import dataclass

from ..recording.recording import Match
from .binding import Bond
from .evidence import Evidence
from .finding import Finding
from .senses import Sense

DETAILS = 12  # single findings of one cause that are listed; the data has them all


@dataclass(frozen=True)
class ReportedImage:
    """Everything that is said of one image of the batch."""

    number: int
    match: Match
    texts: list[str]
    source: str
    evidence: Evidence
    findings: list[Finding]
    bonds: list[Bond]
    senses: list[Sense]

    @property
    def is_judged(self) -> bool:
        """Whether the limits of findings from the attention hold for its model."""
        return not self.match.run.is_joint


def count_text(one: ReportedImage) -> str:
    if not one.evidence.content:
        return "the prompt has no words to report on"
    n = len(one.findings)
    if not one.is_judged and not n:
        return "heatmaps only, without verdicts"
    return f"{n} thing{'s' if n > 1 else ''} stand{'' if n > 1 else 's'} out" if n else "nothing stands out"
