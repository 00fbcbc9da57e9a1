"""Writes docs/compatibility.md from what the tests said on each ComfyUI release.

    python3 tools/make_compatibility.py                 from the reports that are there (.host/results/*.xml)
    python3 tools/make_compatibility.py --run           runs the tests first: every release, then what is heavy on the default
    python3 tools/make_compatibility.py --run --essential   the same with fewer tests on each release

Tests with the mark `way` are the lines of its second table. Needs nothing but Python.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))
from devtools.every_release import RESULTS, Counts, count  # noqa: E402
from devtools.releases import DEFAULT, RELEASES  # noqa: E402

TARGET = ROOT / "docs" / "compatibility.md"
HEAVY = "heavy"
LACKS = re.compile(r"[Tt]his ComfyUI has no ([^.]+)")
PASSED, FAILED, MISSING, NOT_RUN = "✓", "✗", "–", " "
BEGIN, END = "<!-- written by tools/make_compatibility.py from test reports -->", "<!-- end -->"
TEXT = """# Compatibility

Which ComfyUI releases the pack was tested on, and how it gets along with other packs, workflows and options. Every line is a test: it
makes an image with and without the pack and checks that the two are identical, bit for bit. Then it compares the recorded maps with the
attention that the model really computed, or reads the one warning that says why there are none. Tests for other packs use small
stand-ins (`tests/host/stand_ins.py`) that do to the model what those packs do.

The counts are for the tests that were run on each release when this page was written: all of them, or those that touch ComfyUI's
internals. To run them again, use `python3 tools/make_compatibility.py --run`; for a single release, `python3 dev.py test --comfyui VERSION`.

"""


@dataclass
class Way:
    """A line of the table: what becomes of the maps, where it is tested, and the outcome on each release."""

    maps: str
    files: set[str] = field(default_factory=set)
    outcomes: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


@dataclass
class Release:
    """What one release's tests said."""

    counts: Counts
    lacks: set[str]
    failed: list[str]


def outcome_of(case: ElementTree.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return FAILED
    return MISSING if case.find("skipped") is not None else PASSED


def read(report: Path, release: str, ways: dict[str, Way]) -> Release:
    """One report's counts; its ways are added to `ways`."""
    lacks, failed = set(), []
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        outcome = outcome_of(case)
        skipped = case.find("skipped")
        found = LACKS.search(skipped.get("message") or "") if skipped is not None else None
        if found:
            lacks.add(found[1])
        if outcome == FAILED:
            failed.append(f"{case.get('classname', '').rsplit('.', 1)[-1]}::{case.get('name')}")
        properties = {p.get("name"): p.get("value") for p in case.iter("property")}
        if "way" in properties:
            way = ways.setdefault(properties["way"], Way(properties.get("maps", "right")))
            way.files.add(case.get("classname", "").rsplit(".", 1)[-1])
            way.outcomes[release].add(outcome)
    return Release(count(report), lacks, failed)


def cell(outcomes: set[str]) -> str:
    """The worst of several tests; a test that had to be skipped counts only where nothing else ran."""
    return next((one for one in (FAILED, PASSED, MISSING) if one in outcomes), NOT_RUN)


def tables(releases: dict[str, Release], ways: dict[str, Way]) -> str:
    lines = [
        "## ComfyUI releases",
        "",
        "| ComfyUI | tests | what it lacks, so that the tests of it are skipped |",
        "|---|---|---|",
    ]
    for version in RELEASES:
        if version in releases:
            told = releases[version]
            lines.append(f"| {version} | {told.counts} | {', '.join(sorted(told.lacks)) or 'nothing'} |")
        else:
            lines.append(f"| {version} | not run yet: `python3 dev.py test --comfyui {version}` | |")
    if any(told.failed for told in releases.values()):
        lines.append("")
    for version, told in releases.items():
        lines += [f"- fails on {version}: `{name}`" for name in told.failed]
    shown = [version for version in RELEASES if version in releases]
    lines += [
        "", "## Other packs, graphs and options", "",
        f"{PASSED} as the second column says, and the image is the one without the pack · {FAILED} not so · {MISSING} that release does not "
        "have it, or takes it only with a GPU, which these tests had not · empty: not run there.", "",
        f"| what | maps | {' | '.join(shown)} | test |", f"|---|---|{'---|' * len(shown)}---|",
    ]  # fmt: skip
    for name in sorted(ways, key=str.casefold):
        way = ways[name]
        cells = " | ".join(cell(way.outcomes.get(version, set())) for version in shown)
        tests = ", ".join(f"`{file}`" for file in sorted(way.files))
        lines.append(f"| {name} | {way.maps} | {cells} | {tests} |")
    return "\n".join(lines) + "\n"


def write() -> None:
    releases, ways = {}, {}
    for version in RELEASES:
        report = RESULTS / f"{version}.xml"
        if report.exists():
            releases[version] = read(report, version, ways)
    if (RESULTS / f"{HEAVY}.xml").exists():
        heavy = read(RESULTS / f"{HEAVY}.xml", DEFAULT, ways)
        if DEFAULT in releases:
            releases[DEFAULT].failed += heavy.failed
    if not releases:
        sys.exit(f"There are no reports in {RESULTS}. Run: python3 tools/make_compatibility.py --run")
    TARGET.write_text(f"{TEXT}{BEGIN}\n\n{tables(releases, ways)}\n{END}\n", encoding="utf-8")
    print(f"{TARGET.relative_to(ROOT)}: {len(releases)} releases, {len(ways)} ways")


def run(essential: bool) -> None:
    """Every release, then the heavy tests on the default one. Failures are for the table to show."""
    chosen = ["--essential"] if essential else []
    subprocess.run([sys.executable, ROOT / "dev.py", "test", "--all-comfyui", *chosen], check=False)
    report = f"--junitxml={RESULTS / f'{HEAVY}.xml'}"
    subprocess.run([sys.executable, ROOT / "dev.py", "test", "--heavy", "-m", "heavy", report], check=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", action="store_true", help="run the tests first (hours)")
    parser.add_argument("--essential", action="store_true", help="with --run: fewer tests on each release")
    arguments = parser.parse_args()
    if arguments.run:
        run(arguments.essential)
    write()
