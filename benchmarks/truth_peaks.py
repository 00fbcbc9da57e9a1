"""What lone peaks at the border do to maps and masks: recordings as they are, and with peaks planted into corners."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import bench
import numpy as np
import torch
import truth_scenes
from truth_scenes import THRESHOLDS

PLANTED = ((3.0, 0.5), (10.0, 0.3), (6.0, 0.15))  # times the head's highest value, in so many of the heads


@dataclass
class Results:
    """iou: (maps, recording, border_peaks) → IoU (noun, threshold); levelled: (maps, recording) → whether a word's map had a peak."""

    iou: dict[tuple[str, str, str], list] = field(default_factory=dict)
    levelled: dict[tuple[str, str], list] = field(default_factory=dict)


def measure(studio, count: int, seed: int, progress: Callable[[int], None]) -> Results:
    results, generator = Results(), torch.Generator().manual_seed(seed)
    for number, scene in enumerate(truth_scenes.scenes(count, seed)):
        seen = studio.redraw(scene, seed + number)
        _add(results, seen, seen[0].match, "as it is")
        for height, heads in PLANTED:
            match = planted(seen[0].match, height, heads, generator)
            _add(results, seen, match, f"peaks {height:g} times as high in {heads:.0%} of the heads")
        progress(number + 1)
    return results


def planted(match, height: float, heads: float, generator: torch.Generator):
    """The same image, as if some heads looked at one corner, `height` times as much as anywhere else; each token has its corner."""
    (entry,) = match.run.of_role("positive")
    maps = {}
    for block, sums in entry.maps.items():
        sums = sums.clone()  # (batch, bin, head, column, h, w)
        chosen = (torch.rand(sums.shape[2], generator=generator) < heads).nonzero().flatten()
        for column in range(sums.shape[3]):
            own = sums[:, :, chosen, column]
            own[..., -(column // 2 % 2), -(column % 2)] = height * own.amax((-2, -1))
            sums[:, :, chosen, column] = own
        maps[block] = sums
    return replace(match, run=replace(match.run, entries=[replace(entry, maps=maps)]))


def _add(results: Results, seen, match, recording: str) -> None:
    from hrv_pack.hrv.maps.border_peaks import BORDER_PEAKS, LEFT_OUT, Levelling
    from hrv_pack.hrv.maps.lookup import targets_of_unit
    from hrv_pack.hrv.maps.word_maps import word_maps
    from hrv_pack.hrv.relevance.best_maps import ALL, BEST, best_choices, best_maps

    entries = match.run.of_role("positive")
    prompts = [entry.prompt for entry in entries]
    targets = targets_of_unit(entries, prompts, "words")
    content = list(targets_of_unit(entries, prompts, "words", fillers=False))
    for how in BORDER_PEAKS:
        for maps in (BEST, ALL):
            level = Levelling(how)
            if maps == BEST:
                choices = best_choices(match, targets, content, level=level)
                found = best_maps(match, targets, choices, level=level)[0]
            else:
                found = level(list(targets), word_maps(match, list(targets.values())))
            by_name = dict(zip(targets, found, strict=True))
            for one in seen:
                name = one.word if one.word in by_name else one.word.split("#")[0]
                results.iou.setdefault((maps, recording, how), []).append(
                    truth_scenes.iou(by_name[name], one.mask)
                )
            if how == LEFT_OUT:
                results.levelled.setdefault((maps, recording), []).extend(
                    bool(level.note([word])) for word in content
                )


def markdown(results: Results, scenes: int) -> str:
    from hrv_pack.hrv.maps.border_peaks import KEPT, LEFT_OUT

    columns = f"maps | recording | IoU of nouns with peaks kept, at {' / '.join(map(str, THRESHOLDS))} | left out | words with a peak"
    rows = []
    for (maps, recording), levelled in results.levelled.items():
        cells = [
            " ".join(f"{v:.3f}" for v in np.mean(results.iou[maps, recording, how], 0))
            for how in (KEPT, LEFT_OUT)
        ]
        rows.append([maps, recording, *cells, f"{np.mean(levelled):.0%} of {len(levelled)}"])
    count = len(next(iter(results.iou.values())))
    return f"{count} objects in {scenes} scenes.\n\n{bench.markdown(columns, rows)}"
