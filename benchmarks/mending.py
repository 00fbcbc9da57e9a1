"""Does steering mend what came out wrong? Pictures by the demo model before and after, told apart by the judge network.

    python3 dev.py bench --suite mending                 chooses strengths, reports, writes docs/results.md
    python3 dev.py bench --suite mending --tune          chooses strengths and prints them; writes nothing
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
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import bench
from demo_pictures import CFG
from mending_cases import PARTS, Wish, wishes
from mending_studio import EVERY_HEAD, EXCITE, PLAIN, Treatment

BATCH = 4  # pictures of one prompt
REPORT_SEED, TUNING_SEED = 970_001, 980_001  # training and the other benchmarks draw from other seeds
STRENGTHS = {"senses": (1.0, 2.0), "lost": (0.25, 0.5), "missing": (0.25, 0.5)}
FACTORS = {"senses": (0.5, 2.0), "lost": (1.5, 2.0), "missing": (1.5, 2.0)}
STRENGTHS_OF_EXCITE = (3.0, 10.0, 30.0)
REPORTED = ("votes", "published", "agreement", "words", "excite")
DOCUMENT = bench.ROOT / "docs" / "results.md"
VECTORS = bench.ROOT / "hrv_data" / "vectors"
FILES = {"votes": "demo_checkpoint.safetensors", "agreement": "demo_checkpoint_agreement.safetensors"}


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
    bench.start_host()
    import torch
    import truth
    from mending_studio import Studio

    if options.threads:
        torch.set_num_threads(options.threads)
    truth.start_nodes()
    files = {name: options.vectors / file for name, file in FILES.items()}
    files = {name: path for name, path in files.items() if path.is_file()}
    if not files:
        raise SystemExit(f"No head relevance in {options.vectors}: tools/make_demo_vectors.py makes it.")
    studio = Studio(options.checkpoint, files, options.steps)
    figures = {}
    if "effect" in options.parts and not options.tune:
        figures["effect"] = why(studio, options, arguments)
    for part in (part for part in options.parts if part in PARTS):
        chosen, tried = choose(studio, part, options)
        truth.say(f"{part}: chosen {', '.join(f'{how.name} {how.amount:g}' for how in chosen)}")
        if options.tune:
            print(tuning_table(tried))
            continue
        found = report(studio, part, chosen, options)
        text = f"{table(found, chosen, options)}\n\n{tuning_table(tried)}"
        print(f"\n{text}\n", flush=True)
        figures[part] = {"chosen": [vars(how) for how in chosen], "text": text}
        if not options.no_write:
            write(part, text, options, arguments)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


def why(studio, options, arguments: list[str]) -> str:
    """Which heads carry a word's meaning, and whether head relevance knows them (benchmarks/mending_effect.py)."""
    import mending_effect
    import truth

    scenes = options.effect_scenes
    found = mending_effect.effects(studio, scenes, truth.counter("scenes", scenes))
    text = f"{mending_effect.table(found, studio.vectors)}\n\n{scenes} scenes, three parts of the schedule."
    print(f"\n{text}\n", flush=True)
    if not options.no_write:
        write("effect", text, options, arguments)
    return text


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dev.py bench --suite mending",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    demo = bench.ROOT / "hrv_data" / "demo" / "demo_checkpoint.safetensors"
    parser.add_argument(
        "--part", dest="parts", nargs="+", choices=("effect", *PARTS), default=("effect", *PARTS)
    )
    parser.add_argument("--effect-scenes", type=int, default=6, help="scenes of the part effect")
    parser.add_argument("--only", nargs="+", choices=REPORTED, default=REPORTED, help="rows of the report")
    parser.add_argument("--pictures", type=int, default=200, help="pictures of each part (seeds)")
    parser.add_argument("--tuning-pictures", type=int, default=16, help="other pictures, to choose strengths")
    parser.add_argument("--tune", action="store_true", help="choose strengths, print all, and stop")
    parser.add_argument("--steps", type=int, default=8, help="euler steps of a picture")
    parser.add_argument("--checkpoint", type=Path, default=demo)
    parser.add_argument("--vectors", type=Path, default=VECTORS, help="folder with head relevance")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: torch's choice)")
    parser.add_argument("--json", type=Path, help="write all figures here as well")
    parser.add_argument("--no-write", action="store_true", help="print only, leave docs/results.md alone")
    parser.add_argument("--quick", action="store_true", help="shows that it runs; writes nothing")
    options = parser.parse_args(arguments)
    if options.quick:
        options.effect_scenes = 1
        options.pictures = options.tuning_pictures = BATCH
        options.steps, options.no_write = 2, True
    return options


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


def row(found: list[Picture]) -> str:
    """before → after with the paired 95 % interval | mended | lost again | spoiled before → after."""
    before = [p.wish.granted(p.before) for p in found]
    after = [p.wish.granted(p.after) for p in found]
    change = [a - b for a, b in zip(after, before, strict=True)]
    mean = share(change)
    half = 1.96 * (share((c - mean) ** 2 for c in change) / len(change)) ** 0.5
    mended = [a for a, b in zip(after, before, strict=True) if not b]
    lost = [not a for a, b, p in zip(after, before, found, strict=True) if b and p.treated]
    treated = [p for p in found if p.treated]
    spoiled = [share(p.wish.spoiled(seen(p)) for p in treated) for seen in (_before, _after)]
    return (
        f"{share(before):.1%} → {share(after):.1%} | {mean:+.1%} ± {half:.1%} | {_of(mended)} | {_of(lost)} | "
        + (f"{spoiled[0]:.1%} → {spoiled[1]:.1%}" if treated else "–")
    )


def _before(picture: Picture) -> tuple:
    return picture.before


def _after(picture: Picture) -> tuple:
    return picture.after


def _of(values: list[bool]) -> str:
    return f"{sum(values)} of {len(values)}" if values else "–"


def table(found: dict[Treatment, list[Picture]], chosen: list[Treatment], options) -> str:
    """Markdown: each wish and treatment in a row."""
    lines = [
        "| wish | steered | amount | wish granted, before → after | change, 95 % interval | wrong ones mended | right ones lost "
        "| error on the rest, before → after |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for sort in dict.fromkeys(p.wish.sort for some in found.values() for p in some):
        for how, some in found.items():
            of_sort = [p for p in some if p.wish.sort == sort]
            amount = f"{how.amount:g}" + (" (chosen)" if how in chosen else "")
            lines.append(f"| {sort} ({len(of_sort)}) | {how.name} | {amount} | {row(of_sort)} |")
    return "\n".join(lines) + (
        f"\n\n{options.pictures} pictures, {BATCH} seeds of each prompt, {options.steps} euler steps, cfg {CFG:g}; strengths chosen on "
        f"{options.tuning_pictures} pictures of other prompts:"
    )


def tuning_table(tried: dict[Treatment, list[Picture]]) -> str:
    """Everything that was tried on the choosing set; gain is what the choice goes by."""
    lines = [
        "| tried | amount | granted, before → after | change | wrong ones mended | right ones lost | error on the rest | gain |",
        "|---" * 8 + "|",
    ]
    for how, found in tried.items():
        lines.append(f"| {how.name} | {how.amount:g} | {row(found)} | {gain(found):+.1%} |")
    return "\n".join(lines)


def progress(part: str, how: Treatment, found: list[Picture]) -> None:
    print(f"{part}, {how.name} {how.amount:g}: {row(found)}", file=sys.stderr, flush=True)


def write(part: str, text: str, options, arguments: list[str]) -> None:
    """Puts a part's figures between its marks, with the command."""
    import truth

    command = " ".join(["python3 dev.py bench --suite mending", *arguments])
    begin, end = (
        f"<!-- mending {part}: written by benchmarks/mending.py -->",
        f"<!-- end of mending {part} -->",
    )
    before, found, rest = DOCUMENT.read_text(encoding="utf-8").partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise SystemExit(f"{DOCUMENT} has no marks for mending {part}.")
    steps = truth.training_steps(options.checkpoint)
    body = f"`{command}`, on the demo model after {steps} training steps.\n\n{text}"
    DOCUMENT.write_text(f"{before}{begin}\n{body}\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
