"""Masks of an object's word against the exact ones, for several choices of heads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import bench
import numpy as np
import torch
import truth_scenes
from studio import target_of
from truth_scenes import THRESHOLDS

PERCENT = 23.0
FIGURE_THRESHOLD = THRESHOLDS.index(0.4)
SHARES = tuple(range(5, 101, 5))
DRAWS = 10


@dataclass
class Results:
    """rows: name → IoU (object, threshold); curves: name → share of heads → mean IoU (threshold); kept: share of
    objects that the judge still finds in the redrawn picture."""

    rows: dict[str, list] = field(default_factory=dict)
    curves: dict[str, dict[int, list]] = field(default_factory=dict)
    kept: list[bool] = field(default_factory=list)

    def add(self, name: str, value: list[float]) -> None:
        self.rows.setdefault(name, []).append(value)

    def add_share(self, name: str, share: int, value: list[float]) -> None:
        self.curves.setdefault(name, {}).setdefault(share, []).append(value)

    def table(self) -> list[dict]:
        """One entry for each row: mean and standard deviation at each threshold, and the mean gain over DAAM with half
        the width of its 95 % interval (paired, over objects)."""
        daam = np.array(self.rows[NAMES["daam"]])
        out = []
        for name, values in self.rows.items():
            v = np.array(values)
            gain = v - daam
            half = 1.96 * gain.std(0, ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else gain[0] * 0
            out.append({"name": name, "mean": v.mean(0).tolist(), "std": v.std(0).tolist(),
                        "gain": gain.mean(0).tolist(), "gain_95": half.tolist()})  # fmt: skip
        return out

    def at_figure_threshold(self) -> tuple[dict[str, dict[int, float]], float]:
        """(name → share of heads → mean IoU, that of all heads) at FIGURE_THRESHOLD."""
        curves = {
            name: {share: float(np.mean(values, 0)[FIGURE_THRESHOLD]) for share, values in curve.items()}
            for name, curve in self.curves.items()
        }
        return curves, float(np.mean(self.rows[NAMES["daam"]], 0)[FIGURE_THRESHOLD])


NAMES = {
    "daam": "DAAM (all heads)",
    "votes_most": "Objects, 23 % most relevant by votes",
    "votes_least": "Objects, 23 % least relevant by votes",
    "random": f"random 23 % (mean of {DRAWS} draws)",
    "auto": "Select Heads for a Word, 23 %",
    "plain": "the same heads, equally weighted",
    "agreement_most": "Objects, 23 % most relevant by agreement",
    "agreement_least": "Objects, 23 % least relevant by agreement",
    "votes_balanced": "Objects, 23 % most relevant by votes, balanced",
    "agreement_balanced": "Objects, 23 % most relevant by agreement, balanced",
    "all_balanced": "all heads, balanced",
    "best": "best 23 % by the masks themselves (not possible without masks)",
}


def measure(studio, count: int, seed: int, relevance: dict, progress: Callable[[int], None]) -> Results:
    """relevance: vectors by method, "votes" and "agreement"."""
    results = Results()
    generator = torch.Generator().manual_seed(seed)
    for number, scene in enumerate(truth_scenes.scenes(count, seed)):
        for seen in studio.redraw(scene, seed + number):
            results.kept.append(seen.stayed)
            _one(results, seen, relevance, generator)
        progress(number + 1)
    return results


def of_word(match, word: str, mask: torch.Tensor):
    """(the word's maps (head, height, width), a function: weights of heads → IoU of the map that they make)."""
    from hrv_pack.hrv.maps.head_maps import head_maps

    maps = head_maps(match, target_of(match, word)).maps

    def iou_of(weights: torch.Tensor) -> list[float]:
        heat = (weights @ maps.flatten(1) / weights.sum()).view(maps.shape[1:])
        return truth_scenes.iou(heat, mask)

    return maps, iou_of


def equal(heads: torch.Tensor, total: int) -> torch.Tensor:
    """Weight 1 for these heads of all, and 0 for the others."""
    return torch.zeros(total).index_fill(0, heads, 1.0)


def by_chance(iou_of: Callable, count: int, total: int, generator: torch.Generator) -> list[float]:
    """The mean over DRAWS choices of so many heads."""
    draws = [torch.randperm(total, generator=generator)[:count] for _ in range(DRAWS)]
    return np.mean([iou_of(equal(heads, total)) for heads in draws], axis=0).tolist()


def _one(results: Results, seen, relevance: dict, generator: torch.Generator) -> None:
    from hrv_pack.hrv.maps.word_maps import balance, ranges
    from hrv_pack.hrv.relevance import head_scores
    from hrv_pack.hrv.relevance.heads_for_word import choose_heads
    from hrv_pack.hrv.relevance.vectors import heads_of_percent

    match = seen.match
    maps, of = of_word(match, seen.word, seen.mask)
    total = len(maps)
    count = heads_of_percent(PERCENT, total)

    def balanced(weights: torch.Tensor) -> torch.Tensor:
        return weights * balance(ranges(maps.flatten(1)))

    results.add(NAMES["daam"], of(torch.ones(total)))
    for method, vectors in relevance.items():
        for order in ("most", "least"):
            weights = vectors.select("Objects", PERCENT, f"{order} relevant").weights
            results.add(NAMES[f"{method}_{order}"], of(weights))
        results.add(NAMES[f"{method}_balanced"], of(balanced(vectors.select("Objects", PERCENT).weights)))
        for share in SHARES:
            weights = vectors.select("Objects", share).weights
            results.add_share(f"Objects, by {method}", share, of(weights))
            if method == "agreement":  # one line only: the figure has room for five
                results.add_share(f"Objects, by {method}, balanced", share, of(balanced(weights)))
    results.add(NAMES["all_balanced"], of(balanced(torch.ones(total))))
    results.add(NAMES["random"], by_chance(of, count, total, generator))
    auto = choose_heads([match], seen.word, PERCENT)
    results.add(NAMES["auto"], of(auto.heads.weights))
    results.add(NAMES["plain"], of((auto.heads.weights > 0).float()))
    for name, score in (
        ("by compactness", head_scores.compactness(maps)),
        ("by agreement with the mean of all heads", head_scores.agreement(maps)),
        ("by low entropy", head_scores.low_entropy(maps)),
        ("by maximum over mean", head_scores.peak_over_mean(maps)),
    ):
        results.add(f"best 23 % {name}", of(equal(score.topk(count).indices, total)))
    single = torch.tensor([truth_scenes.iou(one, seen.mask) for one in maps]).mean(1)
    results.add(NAMES["best"], of(equal(single.topk(count).indices, total)))
    for share in SHARES:
        chosen = choose_heads([match], seen.word, share).heads.weights
        results.add_share("Select Heads for a Word", share, of(chosen))
        some = torch.randperm(total, generator=generator)[: heads_of_percent(share, total)]
        results.add_share("random", share, of(equal(some, total)))


def markdown(results: Results, scenes: int) -> str:
    """The table of all rows."""
    return "\n".join(
        [
            f"{len(results.kept)} objects in {scenes} scenes; after redrawing, the judge still names "
            f"{np.mean(results.kept):.0%} of them rightly (none is left out).",
            "",
            *rows_markdown(results),
        ]
    )


def rows_markdown(results: Results) -> list[str]:
    """The lines of the table, one row for each choice of heads."""
    columns = " | ".join(["heads", *(f"IoU at {t}" for t in THRESHOLDS), "over DAAM, 95 % interval"])
    rows = []
    for row in results.table():
        cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(row["mean"], row["std"])]
        gains = " / ".join(f"{g:+.3f} ± {h:.3f}" for g, h in zip(row["gain"], row["gain_95"]))
        rows.append([row["name"], *cells, gains])
    return [
        bench.markdown(columns, rows),
        "",
        "± in the columns of IoU is the standard deviation over objects.",
    ]
