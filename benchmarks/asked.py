"""Words that are not in the prompt (`also_look_for`), on rendered scenes whose caption leaves one of two things out.

    python3 dev.py bench --suite asked --scenes 100        writes docs/results.md

X-Ray an Image looks at the scene with the caption of one of its things. The other one's noun is looked for, and a noun that is neither in the
image nor in the caption. Beside it: captions of both things, right ones and ones that name a thing that is not there. Nothing was tuned.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import bench
import suite

SEED = 946_001  # training does not draw from it
MOMENTS = 2
SIDES = ("left", "right")
THERE, ABSENT = "the {} thing's noun, asked for", "a noun that is not there, asked for"
NAMED, WRONG = (
    "the {} thing's noun, in the caption",
    "a noun that is not there, in the caption for the {} thing",
)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = suite.parser("asked", __doc__)
    parser.add_argument("--scenes", type=int, default=100, help="of two things")
    return suite.parse(parser, arguments, scenes=2)


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    suite.start(options.threads)
    import numpy as np
    import truth_scenes

    from hrv_pack.tools.train_demo.draw import render
    from hrv_pack.tools.train_demo.world import KINDS, full_caption

    studio, rng = truth_scenes.Studio(options.checkpoint), np.random.default_rng(SEED)
    rows, scores = {}, {}
    progress = suite.counter("scenes", options.scenes)
    for number, scene in enumerate(_of_two(truth_scenes.scenes, options.scenes)):
        picture, masks = render(scene)
        absent = str(
            rng.choice([kind for kind in KINDS if kind not in {thing.kind for thing in scene.things}])
        )

        def looked(things, words=(), picture=picture, scene=scene, number=number):
            """(caption of these things, match)."""
            caption = full_caption(replace(scene, things=tuple(things)))
            return caption, _seen(studio, picture, caption, words, SEED + number)

        right = looked(scene.things)
        for side, left in enumerate(scene.things):
            other = scene.things[1 - side]
            swapped = [replace(left, kind=absent) if thing is left else thing for thing in scene.things]
            alone, wrong = looked([other], [left.kind, absent]), looked(swapped)
            for name, (caption, match), word, named in (
                (THERE, alone, left.kind, 0),
                (ABSENT, alone, absent, 0),
                (NAMED, right, truth_scenes.noun_of(right[0], side), 1 - side),
                (WRONG, wrong, truth_scenes.noun_of(wrong[0], side), 1 - side),
            ):
                _add(rows, name.format(SIDES[side]), match, word, masks)
                for score, value in _scores(match, word, truth_scenes.noun_of(caption, named)).items():
                    scores.setdefault(score, {}).setdefault(name, []).append(value)
        progress(number + 1)
    suite.publish("asked", _markdown(rows, scores, options.scenes), options)


def _add(rows: dict, name: str, match, word: str, masks) -> None:
    """(word, maps) → for each thing, left and right, the IoU of the mask at 0.4, and whether the map is largest on it."""
    import truth_scenes

    at = truth_scenes.THRESHOLDS.index(0.4)
    for maps, map in _maps(match, word).items():
        own = [(truth_scenes.iou(map, _tensor(mask))[at], _peak_in(map, mask)) for mask in masks]
        rows.setdefault((name, maps), []).append([value for one in own for value in one])


def _of_two(scenes, count: int):
    """Scenes of two things of different kinds."""
    found = (one for one in scenes(20 * count, SEED) if len({thing.kind for thing in one.things}) == 2)
    return [one for one, _ in zip(found, range(count))]


def _seen(studio, picture, caption: str, words, seed: int):
    """The match of X-Ray an Image with this caption, these words asked for."""
    from hrv_pack.host.effect.image_record import record_image
    from hrv_pack.host.text.asked_words import asked_words

    latent = studio.of_picture(picture)
    _, clip, _ = studio.recorded()
    (positive,) = studio.encode(caption, clip=clip)
    asked = asked_words(studio.clip, ", ".join(words))
    recording = record_image(
        studio.model, positive, latent, moments=MOMENTS, seed=seed, progress=lambda *_: None, asked=asked
    )
    (match,) = recording.match(latent["samples"])
    return match


def _maps(match, word: str) -> dict:
    """The word's map with all heads, and with the best for it: (height, width)."""
    from hrv_pack.hrv.maps.lookup import find_in_run
    from hrv_pack.hrv.maps.word_maps import word_maps
    from hrv_pack.hrv.relevance.best_maps import ALL, BEST, best_choices, best_maps

    entries = match.run.of_role("positive")
    target = find_in_run(word, match.run, entries, [entry.prompt for entry in entries])
    choices = best_choices(match, {word: target}, [])
    return {
        BEST: best_maps(match, {word: target}, choices)[0, 0],
        ALL: word_maps(match, [target])[0],
    }


def _scores(match, word: str, named: str) -> dict[str, float]:
    """What might tell whether a word's thing is in the image; named: the noun of the caption."""
    from hrv_pack.hrv.maps.gathering import gathering, strength_and_mean
    from hrv_pack.hrv.maps.lookup import find_in_run
    from hrv_pack.hrv.relevance.best_maps import ALL
    from hrv_pack.hrv.relevance.heads_for_word import compared_maps, consent

    maps, other = _maps(match, word)[ALL], _maps(match, named)[ALL]
    strength, mean = strength_and_mean(maps[None])
    of_named, _ = strength_and_mean(other[None])
    entries = match.run.of_role("positive")
    target = find_in_run(word, match.run, entries, [entry.prompt for entry in entries])
    return {
        "largest share (the number on its tile)": float(maps.max()),
        "share in its own place": float(strength),
        "the same, of what the caption's noun gets": float(strength / of_named),
        "gathering": float(gathering(strength, mean)),
        "consent of its best heads": consent(compared_maps(match, target), 23.0).level,
    }


def _tensor(mask):
    import torch

    return torch.as_tensor(mask)


def _peak_in(map, mask) -> bool:
    """Whether the map is largest on the thing."""
    from hrv_pack.hrv.maps.bicubic import resize

    return bool(_tensor(mask).flatten()[resize(map[None], mask.shape).flatten().argmax()])


def _auc(there: list[float], absent: list[float]) -> float:
    """How often a word that is there has the larger score than one that is not; half for equal ones."""
    pairs = [(a > b) + 0.5 * (a == b) for a in there for b in absent]
    return sum(pairs) / len(pairs)


def _told(scores: dict[str, list[float]], there: str, absent: str) -> tuple[str, str]:
    import numpy as np

    within = np.mean([a > b for a, b in zip(scores[there], scores[absent], strict=True)])
    return f"{_auc(scores[there], scores[absent]):.2f}", f"{within:.0%}"


def _markdown(rows: dict, scores: dict, scenes: int) -> str:
    import numpy as np

    table = []
    for (name, maps), values in rows.items():
        left, on_left, right, on_right = np.mean(values, 0)
        table.append((name, maps, f"{left:.3f}", f"{on_left:.0%}", f"{right:.3f}", f"{on_right:.0%}"))
    told = [
        (score, *(cell for pair in ((THERE, ABSENT), (NAMED, WRONG)) for cell in _told(of, *pair)))
        for score, of in scores.items()
    ]
    columns = "word | maps | IoU with the left thing, at 0.4 | largest on it | IoU with the right thing | largest on it"
    asked = "is it in the image? | asked for: AUC over all images | right within one image | in the caption: AUC | right within one image"
    return "\n".join(
        [
            f"{scenes} scenes of two things, {MOMENTS} evaluations each.",
            "",
            bench.markdown(columns, sorted(table, key=lambda row: (row[1], row[0]))),
            "",
            bench.markdown(asked, told),
        ]
    )
