"""X-Ray an Image against the recording of a sampling: masks of nouns in rendered scenes, by exact masks.

    python3 dev.py bench --suite xray --scenes 200        writes docs/results.md

The sampling is that of the suite truth (KSampler from half the noise, ten steps, two evaluations of the model in each). Both are read through Select
Heads for a Word.
"""

from __future__ import annotations

import argparse

import bench
import suite

SEED = 945_001  # training does not draw from it; nothing was tuned on it
MOMENTS = (1, 2, 5)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = suite.parser("xray", __doc__)
    parser.add_argument("--scenes", type=int, default=200)
    return suite.parse(parser, arguments, scenes=2)


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    suite.start(options.threads)
    import numpy as np
    import truth_scenes

    from hrv_pack.host.effect.image_record import record_image
    from hrv_pack.tools.train_demo.draw import render
    from hrv_pack.tools.train_demo.world import full_caption

    studio, rows = truth_scenes.Studio(options.checkpoint), {}
    _, clip, _ = studio.recorded()
    progress = suite.counter("scenes", options.scenes)
    for number, scene in enumerate(truth_scenes.scenes(options.scenes, SEED)):
        for seen in studio.redraw(scene, SEED + number):
            rows.setdefault("sampled, 20 evaluations", []).append(_iou(seen.match, seen.word, seen.mask))
        latent = studio.of_picture(render(scene)[0])
        (positive,) = studio.encode(full_caption(scene), clip=clip)
        for moments in MOMENTS:
            recording = record_image(
                studio.model, positive, latent, moments=moments, seed=SEED + number, progress=lambda *_: None
            )
            (match,) = recording.match(latent["samples"])
            name = f"X-Ray an Image, {moments} evaluation{'s' if moments > 1 else ''}"
            for index, mask in enumerate(render(scene)[1]):
                word = truth_scenes.noun_of(full_caption(scene), index)
                rows.setdefault(name, []).append(_iou(match, word, mask))
        progress(number + 1)
    columns = " | ".join(["recorded", "masks", *(f"IoU at {t}" for t in truth_scenes.THRESHOLDS)])
    lines = [(name, len(v), *(f"{x:.3f}" for x in np.mean(v, 0))) for name, v in rows.items()]
    suite.publish("xray", bench.markdown(columns, lines), options)


def _iou(match, word: str, mask) -> list[float]:
    import torch
    import truth_iou

    from hrv_pack.hrv.relevance.heads_for_word import choose_heads

    _, iou_of = truth_iou.of_word(match, word, torch.as_tensor(mask))
    return iou_of(choose_heads([match], word, truth_iou.PERCENT).heads.weights)
