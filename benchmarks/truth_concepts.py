"""Heads of a concept, and what counts among them: all alike, those that gather, or as Select Heads for a Word weights them.

    python3 dev.py bench --suite truth_concepts --scenes 30          writes docs/results.md
    python3 dev.py bench --suite truth_concepts --part votes         votes counted in other ways

The scenes are those of the suite truth, part iou.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import suite

CONCEPT, SEED = "Objects", 950_001


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    suite.start(options.threads)
    import truth_scenes

    studio, relevance = truth_scenes.Studio(options.checkpoint), suite.relevance(options.vectors)
    if options.part == "votes":
        import truth_votes

        rows = truth_votes.measure(studio, options.scenes, options.pictures, SEED, suite.counter)
        suite.publish("votes", truth_votes.markdown(rows, options.scenes), options)
        return
    results = measure(studio, options.scenes, SEED, relevance, suite.counter("scenes", options.scenes))
    suite.publish("concepts", markdown(results, options.scenes), options)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = suite.parser("truth_concepts", __doc__)
    parser.add_argument("--part", choices=("heads", "votes"), default="heads")
    parser.add_argument("--scenes", type=int, default=30, help="new rendered scenes")
    parser.add_argument("--pictures", type=int, default=40, help="of each sort, for --part votes")
    return suite.parse(parser, arguments, scenes=2)


def measure(
    studio, count: int, seed: int, relevance: dict, progress: Callable[[int], None], orders=("most", "least")
):
    """relevance: vectors by method. Rows have the same number of heads, DAAM all."""
    import torch
    import truth_scenes
    from truth_iou import Results

    results, generator = Results(), torch.Generator().manual_seed(seed)
    for number, scene in enumerate(truth_scenes.scenes(count, seed)):
        for seen in studio.redraw(scene, seed + number):
            _one(results, seen, relevance, generator, orders)
        progress(number + 1)
    return results


def _one(results, seen, relevance: dict, generator, orders) -> None:
    import torch
    import truth_scenes
    from studio import target_of
    from truth_iou import NAMES, PERCENT, by_chance

    from hrv_pack.hrv.maps.head_maps import head_maps
    from hrv_pack.hrv.maps.word_maps import balance
    from hrv_pack.hrv.recording.schedule import LATE
    from hrv_pack.hrv.relevance.heads_for_word import compared_maps, opinions
    from hrv_pack.hrv.relevance.vectors import heads_of_percent

    target = target_of(seen.match, seen.word)
    whole, late = (head_maps(seen.match, target, time_bin=part).maps for part in (None, LATE))
    say = opinions(compared_maps(seen.match, target, LATE))
    total = len(whole)

    def iou(weights, maps) -> list[float]:
        return truth_scenes.iou((weights @ maps.flatten(1)).view(maps.shape[1:]), seen.mask)

    results.add(NAMES["daam"], iou(torch.ones(total), whole))
    for method, vectors in relevance.items():
        for order in orders:
            chosen = vectors.select(CONCEPT, PERCENT, f"{order} relevant").weights
            row = f"{order} relevant by {method}"
            results.add(f"{row}, equal", iou(chosen, whole))
            results.add(f"{row}, equal, late evaluations", iou(chosen, late))
            results.add(f"{row}, by gathering", iou(chosen * say.gathering * balance(say.range), late))
            results.add(f"{row}, weights of the word", iou(chosen * say.weights, late))
    results.add(
        "random heads, weights of the word",
        by_chance(lambda heads: iou(heads * say.weights, late), heads_of_percent(PERCENT, total), total, generator),
    )  # fmt: skip


def markdown(results, scenes: int) -> str:
    from truth_iou import NAMES, rows_markdown

    objects = len(results.rows[NAMES["daam"]])
    lines = [f"{objects} objects in {scenes} scenes, 23 % of the heads in every row but the first.", ""]
    return "\n".join([*lines, *rows_markdown(results)])
