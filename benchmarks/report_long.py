"""What Prompt Report says of long lists of tags: report_long_prompts.json has forty of 20 to 150 tags, in the manner of picture boards and
of photo prompts, with quality and camera tags, weights and escaped brackets. `dev.py bench --suite report --long` runs them all;
tests/host/test_report_long.py some.

The demo model knows hardly any of these words and draws little of what they ask; what is measured is how much is said, not how often it
is right.
"""

import json
import statistics
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import bench
from studio import Studio

PROMPTS = Path(__file__).with_name("report_long_prompts.json")
STEPS = 4
MOST = 8  # sentences


@dataclass(frozen=True)
class Told:
    """A report on one of the prompts: tags, how many the list has; findings, those of `hrv_pack.hrv.report.report.Report`."""

    prompt: str
    tags: int
    report: object

    @property
    def findings(self) -> list:
        return self.report.findings[0]


class Desk(Studio):
    """Records prompts with the demo model and reports on them."""

    def tell(self, prompt: str, seed: int) -> Told:
        from hrv_pack.hrv.report.report import report

        model, clip, recording = self.recorded()
        made = self.sample(model, *self.encode(prompt, "", clip=clip), self.empty(), seed, STEPS)
        found = report(recording, made["samples"], self.decode(made))
        return Told(prompt, len([tag for tag in prompt.split(",") if tag.strip()]), found)


def prompts() -> list[str]:
    """The forty lists of tags; a prompt's place in it is its seed."""
    return json.loads(PROMPTS.read_text(encoding="utf-8"))


def table(told: list[Told]) -> str:
    """How many sentences the reports have, and how many single findings they stand for."""
    sentences = [len(one.findings) for one in told]
    singles = [sum(len(finding.details) for finding in one.findings) for one in told]
    kinds = Counter(finding.kind for one in told for finding in one.findings)
    rows = [
        (what, min(numbers), f"{statistics.median(numbers):g}", max(numbers))
        for what, numbers in (
            (f"sentences of a report (at most {MOST} are allowed)", sentences),
            ("single findings they stand for", singles),
        )
    ]
    return (
        f"{len(told)} lists of {min(t.tags for t in told)} to {max(t.tags for t in told)} tags, {STEPS} steps each.\n\n"
        f"{bench.markdown(' | least | median | most', rows)}\n\n"
        f"Sentences by kind: {'; '.join(f'{kind} {number}' for kind, number in sorted(kinds.items()))}."
    )
