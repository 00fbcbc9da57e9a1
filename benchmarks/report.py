"""How often Prompt Report is right: pictures of two objects by the demo model, judged by the judge network.

    dev.py bench --suite report                          the measuring set, with the limits that the pack ships
    dev.py bench --suite report --tune                   search limits on the choosing set first, print them, measure both
    dev.py bench --suite report --pictures 200 --checkpoint FILE
    dev.py bench --suite report --as-tags                the same two things among tags of quality, camera and style
    dev.py bench --suite report --long                   how much is said of forty long lists of tags

A picture counts as flagged when its report has any finding. Planted fault: an object was left out of the drawing that sampling
started from, or the two colours were exchanged, and the judge finds an object missing or the colours exchanged. Faultless:
both objects there in their own colours, whatever was planted. Faults that the model made by itself, mostly a thing in the right
place that the judge takes for another thing, are counted apart. Limits are chosen on one set of prompts and measured on another.
Pictures are made once for each checkpoint and kept in /tmp. The measuring set is written into docs/results.md.
"""

import argparse
import dataclasses
import itertools
import math
from collections import Counter

import bench
import report_long
import suite
from report_pictures import Album

CHOOSING, MEASURING = 11, 15  # seeds of the two sets of prompts; on 12, 13 and 14 earlier rules were measured
MOST_FALSE = 0.15
SEARCHED = {
    "ignored_strength": (0.6, 0.8, 1.0, 1.2),
    "ignored_gathering": (0.3, 0.4, 0.6, 0.8, 1.0),
    "presence": (1.18, 1.2, 1.22, 1.24, 1.26, 1.28, 1.3, 1.32, 1.34),
    "shared_nouns": (0.8, 0.85, 0.9, 0.95, 2.0),
    "shared_modifiers": (0.5, 0.6, 0.7, 0.8, 2.0),
    "nearer": (-2.0, 0.0, 0.1, 0.2, 0.3),
    "margin": (0.2, 0.3, 0.4, 0.5, 0.7, 2.0),
}


@dataclasses.dataclass(frozen=True)
class Score:
    """flagged and total count pictures; by_fault: fault → (flagged, total), a planted one as “planted”; kinds: how often each
    kind was found."""

    by_fault: dict[str, tuple[int, int]]
    by_plan: dict[str, tuple[int, int]]
    kinds: dict[str, int]

    def share(self, *faults: str) -> tuple[float, int]:
        """(share that was flagged, number of pictures) of these verdicts together."""
        flagged, total = (sum(self.by_fault.get(f, (0, 0))[i] for f in faults) for i in (0, 1))
        return (flagged / total if total else math.nan), total


def evidence_of(options: argparse.Namespace, seed: int) -> list:
    """(case, evidence) of each picture of a set."""
    from hrv_pack.hrv.report.evidence import examine

    album, found = Album(options.checkpoint, seed, options.as_tags), []
    progress = suite.counter("pictures", options.pictures)
    for number in range(options.pictures):
        case, recording, latent = album.get(number)
        (match,) = recording.match(latent)
        entries = match.run.of_role("positive")
        found.append((case, examine(match, entries, [entry.prompt for entry in entries], "auto")))
        progress(number + 1)
    return found


def score(cases: list, limits=None) -> Score:
    """What the report says of these pictures, against the judge."""
    from hrv_pack.hrv.report.finding import LIMITS
    from hrv_pack.hrv.report.findings import find

    by_fault, by_plan, kinds = {}, {}, Counter()
    for case, evidence in cases:
        findings = find(evidence, limits or LIMITS)
        fault = "planted" if case.planted else case.fault
        for table, key in ((by_fault, fault), (by_plan, f"{case.plan}, {case.fault}")):
            flagged, total = table.get(key, (0, 0))
            table[key] = (flagged + bool(findings), total + 1)
        kinds.update({f"{kind}, {fault}" for kind in {f.kind for f in findings}})
    return Score(by_fault, by_plan, dict(kinds))


def tuned(cases: list):
    """The limits with the most faults flagged among those that flag at most MOST_FALSE of the faultless pictures.

    Of equal ones those that flag fewer faultless pictures, then fewer of all. Each rule is asked once for each of its own limits; the
    flags of all pictures are the bits of one number.
    """
    from hrv_pack.hrv.report.binding import bonds, shared_places, wrong_nouns
    from hrv_pack.hrv.report.finding import LIMITS
    from hrv_pack.hrv.report.findings import ignored_words, lost_nouns

    rules = (
        (ignored_words, ("ignored_strength", "ignored_gathering")),
        (lost_nouns, ("ignored_gathering", "presence")),
        (shared_places, ("ignored_gathering", "shared_nouns", "shared_modifiers", "nearer")),
        (
            lambda evidence, limits: wrong_nouns(bonds(evidence, limits), evidence),
            ("ignored_gathering", "margin"),
        ),
    )
    flags: list[dict[tuple, int]] = []
    for rule, names in rules:
        flags.append({})
        for values in itertools.product(*(SEARCHED[name] for name in names)):
            limits = dataclasses.replace(LIMITS, **dict(zip(names, values, strict=True)))
            flags[-1][values] = _bits(bool(rule(evidence, limits)) for _, evidence in cases)
    faulty = _bits(case.planted for case, _ in cases)
    faultless = _bits(case.fault == "none" for case, _ in cases)
    best, best_value = LIMITS, (-1, 0, 0)
    for values in itertools.product(*SEARCHED.values()):
        chosen = dict(zip(SEARCHED, values, strict=True))
        flagged = 0
        for found, (_, names) in zip(flags, rules, strict=True):
            flagged |= found[tuple(chosen[name] for name in names)]
        caught, false = (flagged & faulty).bit_count(), (flagged & faultless).bit_count()
        value = (caught, -false, -flagged.bit_count())
        if false <= MOST_FALSE * faultless.bit_count() and value > best_value:
            best, best_value = dataclasses.replace(LIMITS, **chosen), value
    return best


def _bits(flags) -> int:
    return sum(flag << place for place, flag in enumerate(flags))


def rows_of(found: Score, has_targets: bool = True) -> list[bench.Row]:
    caught, faulty = found.share("planted")
    false, faultless = found.share("none")
    own, unplanned = found.share("missing", "swapped")
    return [
        bench.Row("planted faults that the report misses", 1 - caught, "", 0.2 if has_targets else None, interval(1 - caught, faulty),
                  f"{faulty} pictures; spread: 95 % interval"),
        bench.Row("faultless pictures that it flags", false, "", MOST_FALSE if has_targets else None,
                  interval(false, faultless), f"{faultless} pictures"),
        bench.Row("faults that the model made by itself and the report misses", 1 - own, "", None, interval(1 - own, unplanned),
                  f"{unplanned} pictures"),
    ]  # fmt: skip


def interval(share: float, total: int) -> tuple[float, float]:
    """95 % confidence interval of a share (Wilson 1927)."""
    if not total:
        return (0.0, 1.0)
    z = 1.96
    middle = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return (max(0.0, (middle - half) / (1 + z * z / total)), min(1.0, (middle + half) / (1 + z * z / total)))


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    suite.start(options.threads)
    if options.long:
        tell_long(options)
        return
    limits = None
    if options.tune:
        choosing = evidence_of(options, CHOOSING)
        limits = tuned(choosing)
        print(f"limits chosen: {dataclasses.asdict(limits)}")
        _tell("choosing set", score(choosing, limits))
    found = score(evidence_of(options, MEASURING), limits)
    _tell("measuring set", found)
    kinds = "; ".join(f"{kind} {number}" for kind, number in sorted(found.kinds.items()))
    text = f"{bench.table(rows_of(found, not options.as_tags))}\n\nPictures with a finding, by kind and fault: {kinds}."
    block = "report on lists of tags" if options.as_tags else "report"
    suite.publish(block, text, options, more=f": {options.pictures} pictures.")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = suite.parser("report", __doc__)
    parser.add_argument("--pictures", type=int, default=200, help="in each set")
    for name, what in (
        ("as-tags", "prompts that are lists of tags, with quality and camera tags"),
        ("long", "only count what is said of forty long lists of tags"),
        ("tune", "search limits on the choosing set first"),
    ):
        parser.add_argument(f"--{name}", action="store_true", help=what)
    parser.set_defaults(threads=1)
    return suite.parse(parser, arguments, pictures=10)


def tell_long(options: argparse.Namespace) -> None:
    """Reports on the long lists of tags; prints how much was said, and writes it into docs/results.md."""
    desk, found = report_long.Desk(), []
    for seed, prompt in enumerate(report_long.prompts()[:: 10 if options.quick else 1]):
        found.append(desk.tell(prompt, seed))
        print(f"\n{found[-1].tags} tags: {found[-1].report.summary}", flush=True)
    text = f"`{options.command}`: {report_long.table(found)}"
    print(f"\n{text}")
    if not options.no_write:
        bench.write_block(suite.RESULTS, "report on long lists", text)


def _tell(name: str, found: Score) -> None:
    print(f"\n{name}\n\n{bench.table(rows_of(found))}\n")
    for title, table in (("by verdict", found.by_fault), ("by plan and verdict", found.by_plan)):
        print(f"flagged {title}: " + "; ".join(f"{k} {f}/{n}" for k, (f, n) in sorted(table.items())))
