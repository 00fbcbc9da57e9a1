"""Everything that Prompt Report says of one image."""

from __future__ import annotations

from dataclasses import dataclass

from ..recording.recording import Match
from ..wording import Said, said
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
        return self.match.run.is_calibrated


def title_of(one: ReportedImage) -> Said:
    """How much stands out."""
    if not one.evidence.content:
        return said("The prompt has no words to report on")
    n = len(one.findings)
    if not n:
        return said("Nothing stands out") if one.is_judged else said("Heatmaps only, without verdicts")
    return said("1 thing stands out") if n == 1 else said("{count} things stand out", count=n)


def count_text(one: ReportedImage) -> str:
    """The same within a line."""
    title = title_of(one)
    return title[0].lower() + title[1:]
