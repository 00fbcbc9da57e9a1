"""Does steering mend what came out wrong? Pictures by the demo model before and after, told apart by the judge network.

    python3 dev.py bench --suite mending                 chooses strengths, reports, writes docs/results.md
    python3 dev.py bench --suite mending --part lost     one part alone; writes that part's block
    python3 dev.py bench --suite mending --quick         a few pictures, to see that it runs; writes nothing

Parts (benchmarks/mending_cases.py): `senses`, a word with two senses; `lost`, an attribute that got lost; `missing`, two things of
which one is not there; and `effect`, which heads carry a word's meaning (benchmarks/mending_effect.py). Everything goes through
the pack's nodes and KSampler with the same seeds with and without steering. Strengths are chosen on other prompts and seeds
than those reported. Beside steering by head relevance stands what needs none: the word multiplied in all heads alike (Scale
Heads with every head).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import bench
import mending_effect
import suite
from mending_cases import PARTS, Wish, wishes
from mending_studio import EVERY_HEAD, EXCITE, PLAIN, Studio, Treatment
from studio import CFG

BATCH = 4  # pictures of one prompt
REPORT_SEED, TUNING_SEED = 970_001, 980_001  # training and the other benchmarks draw from other seeds
STRENGTHS = {"senses": (1.0, 2.0), "lost": (0.25, 0.5), "missing": (0.25, 0.5)}
FACTORS = {"senses": (0.5, 2.0), "lost": (1.5, 2.0), "missing": (1.5, 2.0)}
STRENGTHS_OF_EXCITE = (3.0, 10.0, 30.0)
REPORTED = ("votes", "published", "agreement", "words", "excite")


@dataclass(frozen=True)
class Picture:
    """One picture before and after. treated: whether it was steered at all (a picture that lacks nothing is left alone in the
    part `missing`)."""

    wish: Wish
    before: tuple
    after: tuple
    treated: bool


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    suite.start(options.threads)
    studio = Studio(options.checkpoint, suite.vector_paths(options.vectors), options.steps)
    if "effect" in options.parts:
        scenes = options.effect_scenes
        found = mending_effect.effects(studio, scenes, suite.counter("scenes", scenes))
        note = f"{scenes} scenes, three parts of the schedule."
        suite.publish("mending effect", f"{mending_effect.table(found, studio.vectors)}\n\n{note}", options)
    for part in (part for part in options.parts if part in PARTS):
        chosen, tried = choose(studio, part, options)
        found = report(studio, part, chosen, options)
        suite.publish(f"mending {part}", f"{table(found, chosen, options)}\n\n{tuning_table(tried)}", options)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser, parts = suite.parser("mending", __doc__), ("effect", *PARTS)
    parser.add_argument("--part", dest="parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--effect-scenes", type=int, default=6, help="scenes of the part effect")
    parser.add_argument("--only", nargs="+", choices=REPORTED, default=REPORTED, help="rows of the report")
    parser.add_argument("--pictures", type=int, default=200, help="pictures of each part (seeds)")
    parser.add_argument("--tuning-pictures", type=int, default=16, help="other pictures, to choose strengths")
    parser.add_argument("--steps", type=int, default=8, help="euler steps of a picture")
    return suite.parse(parser, arguments, effect_scenes=1, pictures=BATCH, tuning_pictures=BATCH, steps=2)


def candidates(part: str, sources) -> list[list[Treatment]]:
    """Treatments of which each list's best is reported."""
    groups = [[Treatment("relevance", source, s) for s in STRENGTHS[part]] for source in sources]
    groups.append([Treatment(EVERY_HEAD, "", factor) for factor in FACTORS[part]])
    if part == "missing":
        groups.append([Treatment(EXCITE, one, s) for one in ("", *sources) for s in STRENGTHS_OF_EXCITE])
    return groups


def choose(studio, part: str, options) -> tuple[list[Treatment], dict[Treatment, list[Picture]]]:
    """(the best of each list, everything that was tried): the most wishes granted, less what is spoiled."""
    tried = {}
    groups = candidates(part, studio.vectors)
    for group in groups:
        for how in group:
            tried[how] = pictures(studio, part, how, options.tuning_pictures, True)
            progress(part, how, tried[how])
    return [max(group, key=lambda how: gain(tried[how])) for group in groups], tried


def report(studio, part: str, chosen: list[Treatment], options) -> dict[Treatment, list[Picture]]:
    """Pictures of the treatments that are asked for, and of strength 1 by votes, the method as published."""
    wanted = [how for how in chosen if how.short in options.only]
    published = Treatment("relevance", "votes", 1.0)
    if "published" in options.only and published not in wanted:
        wanted.append(published)
    found = {}
    for how in wanted:
        found[how] = pictures(studio, part, how, options.pictures, False)
        progress(part, how, found[how])
    return found


def pictures(studio, part: str, how: Treatment, count: int, choosing: bool) -> list[Picture]:
    """The first `count` pictures of a part's set, with and without the treatment."""
    import numpy as np

    seed = (TUNING_SEED if choosing else REPORT_SEED) + 1000 * PARTS.index(part)
    prompts = wishes(part, -(-count // BATCH), choosing, np.random.default_rng(seed))
    found = []
    for number, wish in enumerate(prompts):
        places = tuple(range(min(BATCH, count - number * BATCH)))
        before = studio.answers(wish, (), PLAIN, seed + number, places)
        after: dict[int, tuple] = {}
        for words, some in groups_of(part, how, wish, before).items():
            seen = studio.answers(wish, words, how, seed + number, some)
            after |= dict(zip(some, seen, strict=True))
        found += [Picture(wish, old, after.get(p, old), p in after) for p, old in enumerate(before)]
    return found


def groups_of(part: str, how: Treatment, wish: Wish, before: list) -> dict[tuple[str, ...], tuple[int, ...]]:
    """Words to steer → numbers of the pictures. With a thing missing, as an artist would: only where it is missing, and only
    its noun. Attend and Excite wants all nouns."""
    if part != "missing":
        return {wish.words: tuple(range(len(before)))}
    groups: dict[tuple[str, ...], tuple[int, ...]] = {}
    for place, seen in enumerate(before):
        absent = wish.absent(seen)
        if absent:
            words = wish.words if how.kind == EXCITE else absent
            groups[words] = (*groups.get(words, ()), place)
    return groups


# -- figures ----------------------------------------------------------------------------------------------------


def share(values) -> float:
    values = list(values)
    return sum(values) / len(values) if values else float("nan")


def gain(found: list[Picture]) -> float:
    """Wishes granted in addition, less what is spoiled in addition: both as shares of all pictures."""
    granted = share(p.wish.granted(p.after) - p.wish.granted(p.before) for p in found)
    return granted - share(p.wish.spoiled(p.after) - p.wish.spoiled(p.before) for p in found)


def row(found: list[Picture]) -> tuple[str, ...]:
    """before → after, change with the paired 95 % interval, mended, lost again, spoiled before → after."""
    before = [p.wish.granted(p.before) for p in found]
    after = [p.wish.granted(p.after) for p in found]
    change = [a - b for a, b in zip(after, before, strict=True)]
    mean = share(change)
    half = 1.96 * (share((c - mean) ** 2 for c in change) / len(change)) ** 0.5
    mended = [a for a, b in zip(after, before, strict=True) if not b]
    lost = [not a for a, b, p in zip(after, before, found, strict=True) if b and p.treated]
    treated = [p for p in found if p.treated]
    was, now = (share(p.wish.spoiled(getattr(p, when)) for p in treated) for when in ("before", "after"))
    return (
        f"{share(before):.1%} → {share(after):.1%}", f"{mean:+.1%} ± {half:.1%}", _of(mended), _of(lost),
        f"{was:.1%} → {now:.1%}" if treated else "–",
    )  # fmt: skip


def _of(values: list[bool]) -> str:
    return f"{sum(values)} of {len(values)}" if values else "–"


def table(found: dict[Treatment, list[Picture]], chosen: list[Treatment], options) -> str:
    """Markdown: each wish and treatment in a row."""
    columns = "wish | steered | amount | wish granted, before → after | change, 95 % interval | wrong ones mended | right ones lost | error on the rest, before → after"
    rows = []
    for sort in dict.fromkeys(p.wish.sort for some in found.values() for p in some):
        for how, some in found.items():
            of_sort = [p for p in some if p.wish.sort == sort]
            amount = f"{how.amount:g}" + (" (chosen)" if how in chosen else "")
            rows.append((f"{sort} ({len(of_sort)})", how.name, amount, *row(of_sort)))
    return bench.markdown(columns, rows) + (
        f"\n\n{options.pictures} pictures, {BATCH} seeds of each prompt, {options.steps} euler steps, cfg {CFG:g}; strengths chosen on "
        f"{options.tuning_pictures} pictures of other prompts:"
    )


def tuning_table(tried: dict[Treatment, list[Picture]]) -> str:
    """Everything that was tried on the choosing set; gain is what the choice goes by."""
    columns = "tried | amount | granted, before → after | change | wrong ones mended | right ones lost | error on the rest | gain"
    return bench.markdown(
        columns,
        [(how.name, f"{how.amount:g}", *row(found), f"{gain(found):+.1%}") for how, found in tried.items()],
    )


def progress(part: str, how: Treatment, found: list[Picture]) -> None:
    print(f"{part}, {how.name} {how.amount:g}: {' | '.join(row(found))}", file=sys.stderr, flush=True)
