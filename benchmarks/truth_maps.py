"""Maps of every word against exact masks: all heads (DAAM), the heads of earlier versions, and the best heads for each word.

Things (nouns and colours) belong on their object, places on everything but objects. Planted words name a thing that is not there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import bench
import numpy as np
import torch
import truth_scenes
from truth_scenes import THRESHOLDS

DAAM, EARLIER, BEST = (
    "all heads (DAAM)",
    "agreement alone, the whole run (version 1)",
    "best heads for each word",
)
SORTS = ("noun", "colour", "place", "other object")
GLOW = 0.4  # of the scale that all words share: from here on a map glows
EARLIER_PERCENT = 23.0


@dataclass
class Results:
    """iou: (way, sort) → IoU (word, threshold); glow: way → share of the picture in which a planted word glows; bright: way → largest
    value of a planted word and of the noun that is there; as_place: sort → whether words were shown as places."""

    iou: dict[tuple[str, str], list] = field(default_factory=dict)
    glow: dict[str, list] = field(default_factory=dict)
    bright: dict[str, list] = field(default_factory=dict)
    as_place: dict[str, list] = field(default_factory=dict)


def measure(studio, count: int, seed: int, progress: Callable[[int], None]) -> Results:
    """Of a transformer also as shares of the text, and of each layer alone."""
    from hrv_pack.tools.train_demo.draw import render
    from hrv_pack.tools.train_demo.world import PLACES, full_caption

    results, rng = Results(), np.random.default_rng(seed + 1)
    for number, scene in enumerate(truth_scenes.scenes(count, seed)):
        picture, masks = render(scene)
        masks = torch.from_numpy(masks)
        text = full_caption(scene)
        ways, choices = _ways(studio.looked_at(picture, text, seed + number))
        place = truth_scenes.numbered(text, len(text.split()) - 1)
        assert PLACES[scene.background].split()[-1] == place.split("#")[0]
        for index in range(len(scene.things)):
            for sort, word in (("noun", 4 + 6 * index), ("colour", 3 + 6 * index)):
                name = _listed(choices, truth_scenes.numbered(text, word))
                results.as_place.setdefault(sort, []).append(choices[name].place is not None)
                for way, maps in ways.items():
                    _add(results.iou, (way, sort), truth_scenes.iou(maps[name], masks[index]))
                    if sort == "noun" and len(masks) > 1:
                        _add(
                            results.iou, (way, "other object"), truth_scenes.iou(maps[name], masks[1 - index])
                        )
        name = _listed(choices, place)
        results.as_place.setdefault("place", []).append(choices[name].place is not None)
        for way, maps in ways.items():
            _add(results.iou, (way, "place"), truth_scenes.iou(maps[name], ~masks.any(0)))
        _planted(results, studio, replace(scene, things=scene.things[:1]), rng, seed + number)
        progress(number + 1)
    return results


def _ways(match) -> tuple[dict[str, dict[str, torch.Tensor]], dict]:
    """(way → word → map, the choices of the best heads)."""
    from hrv_pack.hrv.maps.head_maps import head_maps
    from hrv_pack.hrv.maps.lookup import targets_of_unit
    from hrv_pack.hrv.maps.word_maps import word_maps
    from hrv_pack.hrv.recording.recording import TEXT
    from hrv_pack.hrv.relevance.best_maps import best_choices, best_maps

    entries = match.run.of_role("positive")
    prompts = [entry.prompt for entry in entries]
    targets = targets_of_unit(entries, prompts, "words")
    choices = best_choices(match, targets, list(targets_of_unit(entries, prompts, "words", fillers=False)))
    ways = {
        DAAM: dict(zip(targets, word_maps(match, list(targets.values())))),
        EARLIER: {name: earlier_map(match, target) for name, target in targets.items()},
        BEST: dict(zip(targets, best_maps(match, targets, choices)[0])),
    }
    if any(entry.has_mass for entry in entries):
        of_text = replace(match, share=TEXT)
        chosen = best_choices(
            of_text, targets, list(targets_of_unit(entries, prompts, "words", fillers=False))
        )
        ways[f"{DAAM}, share of the text"] = dict(zip(targets, word_maps(of_text, list(targets.values()))))
        ways[f"{BEST}, share of the text"] = dict(zip(targets, best_maps(of_text, targets, chosen)[0]))
        by_head = {name: head_maps(match, target).maps for name, target in targets.items()}
        for number, block in enumerate(match.run.layout.blocks):
            span = match.run.layout.span(number)
            ways[f"layer {block} alone"] = {name: maps[span].mean(0) for name, maps in by_head.items()}
    return ways, choices


def earlier_map(match, target, percent: float = EARLIER_PERCENT) -> torch.Tensor:
    """With the heads that version 1 chose: the best by agreement with the mean of all heads, weighted by w · s⁶."""
    from hrv_pack.hrv.maps.head_maps import head_maps
    from hrv_pack.hrv.maps.word_maps import balance, ranges
    from hrv_pack.hrv.relevance.heads_for_word import compared_maps, scores_of_heads
    from hrv_pack.hrv.relevance.vectors import heads_of_percent

    compared = compared_maps(match, target)
    score = scores_of_heads(compared)
    best = score.topk(heads_of_percent(percent, len(score))).indices
    weights = balance(ranges(compared.maps[best].flatten(1))) * score[best].clamp(min=0) ** 6
    maps = head_maps(match, target).maps[best]
    return (weights @ maps.flatten(1) / weights.sum()).view(maps.shape[1:])


def _planted(results: Results, studio, scene, rng: np.random.Generator, seed: int) -> None:
    """A picture of one thing, looked at with a caption of two."""
    from hrv_pack.tools.train_demo.draw import render
    from hrv_pack.tools.train_demo.world import COLOURS, KINDS, full_caption

    (thing,) = scene.things
    kind = str(rng.choice([one for one in KINDS if one != thing.kind]))
    colour = str(rng.choice([one for one in COLOURS if one != thing.colour]))
    text = full_caption(replace(scene, things=(thing, replace(thing, kind=kind, colour=colour))))
    ways, choices = _ways(studio.looked_at(render(scene)[0], text, seed))
    there, lost = (_listed(choices, truth_scenes.noun_of(text, index)) for index in (0, 1))
    for way, maps in ways.items():
        peak = max(float(one.max()) for one in maps.values())
        _add(results.glow, way, float((maps[lost] / peak >= GLOW).float().mean()))
        _add(results.bright, way, [float(maps[name].max()) / peak for name in (lost, there)])


def _add(rows: dict, key, value) -> None:
    rows.setdefault(key, []).append(value)


def _listed(names, word: str) -> str:
    """`star#1` as it is listed: without the number where there is only one."""
    return word if word in names else word.split("#")[0]


def markdown(results: Results, scenes: int) -> str:
    rows = []
    for way in dict.fromkeys(way for way, _ in results.iou):
        cells = [
            " ".join(f"{v:.3f}" for v in np.mean(results.iou[way, sort], 0))
            if (way, sort) in results.iou
            else ""
            for sort in SORTS
        ]
        lost, there = np.mean(results.bright[way], 0)
        rows.append([way, *cells, f"{np.mean(results.glow[way]):.1%}", f"{lost:.2f} of {there:.2f}"])
    at = " / ".join(map(str, THRESHOLDS))
    columns = " | ".join(
        [
            "maps",
            *(f"{sort}, at {at}" for sort in SORTS),
            "planted word glows",
            "its largest value, of the noun's that is there",
        ]
    )
    shown = ", ".join(f"{np.mean(values):.1%} of {sort}s" for sort, values in results.as_place.items())
    return "\n".join(
        [
            f"{len(results.iou[DAAM, 'noun'])} objects in {scenes} scenes. Shown as places: {shown}.",
            "",
            bench.markdown(columns, rows),
        ]
    )
