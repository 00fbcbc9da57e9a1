"""Ordered weakening on the demo model: does destroying the most relevant heads first destroy the concept sooner?

    python3 dev.py bench --suite weakening                       writes docs/head_relevance.md and docs/weakening.png
    python3 dev.py bench --suite weakening --prompts 12 --batch 8
    python3 dev.py bench --suite weakening --quick               two prompts, to see that it runs; writes nothing

For each of the five concepts, the heads' attention to the concept's word is multiplied by −2 (Scale Heads), for more and more
heads, most relevant first and least relevant first. The demo world's judge says in how many pictures the attribute is still
the one that the prompt asks for. All concepts are measured on the same prompts and seeds.
"""

from __future__ import annotations

import argparse
import dataclasses

import bench
import numpy as np
import suite
from studio import CFG, QuickStudio

QUESTIONS = {
    "Objects": "kind",
    "Colours": "colour",
    "Patterns": "pattern",
    "Sizes": "size",
    "Backgrounds": "background",
}
FACTOR = -2.0
SEED = 960_001  # training and the other benchmarks draw from other seeds
DOCUMENT = bench.ROOT / "docs" / "head_relevance.md"
FIGURE = bench.ROOT / "docs" / "weakening.png"
FIGURE_TEXT = "Share of pictures that keep the attribute, against the number of weakened heads"


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    suite.start(options.threads)
    results = measure(options)
    text = f"{markdown(results, options)}\n\n![{FIGURE_TEXT}]({FIGURE.name})"
    suite.publish("weakening", text, options, DOCUMENT)
    if not options.no_write:
        draw_figure(results)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = suite.parser("weakening", __doc__)
    for name, default, what in (
        ("prompts", 6, "new single-object prompts, all attributes named"),
        ("batch", 4, "pictures of each prompt"),
        ("points", 8, "numbers of heads, none and all included"),
        ("steps", 12, "euler steps of a picture"),
        ("seed", SEED, "of the prompts and pictures"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=what)
    return suite.parse(parser, arguments, prompts=2, batch=1, points=3, steps=2)


def measure(options: argparse.Namespace) -> dict[str, list]:
    """Concept → the curves of each prompt, one in each order: in what share of the pictures the attribute is kept."""
    from hrv_pack.hrv.steer.weakening import curves, sweep

    drawer, vectors = QuickStudio(options.checkpoint), suite.relevance(options.vectors)["votes"]
    scenes = some_scenes(options.prompts, options.seed)
    done, progress = 0, suite.counter("prompts of a concept", len(scenes) * len(QUESTIONS))
    kept: dict[str, list] = {concept: [] for concept in QUESTIONS}
    for number, scene in enumerate(scenes):
        plain: dict = {}  # answers without steering, the same for all concepts
        for concept, question in QUESTIONS.items():
            heads, counts, orders = sweep(vectors, concept, options.points, "both")
            answers, word = dict(plain), word_of(scene, concept)
            scores = []
            for selection, count, order in zip(heads, counts, orders, strict=True):
                key = (count, order if 0 < count < vectors.heads else None)
                if key not in answers:
                    answers[key] = weakened(drawer, scene, word, selection, options.seed + number, options)
                if count == 0:
                    plain[key] = answers[key]
                scores.append(float(np.mean([answer[question] == word for answer in answers[key]])))
            kept[concept].append(curves(counts, orders, scores))
            done += 1
            progress(done)
    return kept


def mean_curves(found: list) -> list:
    """The mean over the prompts, in each order."""
    return [
        dataclasses.replace(curve, scores=tuple(np.mean([pair[place].scores for pair in found], axis=0)))
        for place, curve in enumerate(found[0])
    ]


def weakened(drawer, scene, word: str, heads, seed: int, options: argparse.Namespace) -> list[dict[str, str]]:
    """What the judge sees in pictures of the scene's caption, with these heads weakened for the word."""
    from hrv_pack.nodes.steer.steering import HRVScaleHeads
    from hrv_pack.tools.train_demo.world import full_caption

    whole = {"start_percent": 0.0, "end_percent": 1.0}
    model = HRVScaleHeads.execute(drawer.model, heads, FACTOR, words=word, **whole).result[0]
    pictures = drawer.draw(model, full_caption(scene), seed, range(options.batch), options.steps)
    return [answer for (answer,) in drawer.seen(pictures)]


def some_scenes(count: int, seed: int) -> list:
    """New scenes of one object whose colour and kind are different words."""
    from hrv_pack.tools.train_demo.world import sample_scene

    rng, scenes = np.random.default_rng(seed), []
    while len(scenes) < count:
        scene = sample_scene(rng, two_objects=0.0)
        if scene.things[0].kind != scene.things[0].colour:
            scenes.append(scene)
    return scenes


def word_of(scene, concept: str) -> str:
    """The word of the scene's full caption that stands for the concept."""
    return getattr(scene.things[0], QUESTIONS[concept], None) or scene.background


def markdown(results: dict[str, list], options: argparse.Namespace) -> str:
    """One row for each concept; the area with its standard error over prompts."""
    from hrv_pack.hrv.relevance.vectors import ORDERS
    from hrv_pack.hrv.steer.weakening import area_between

    columns = f"concept | kept without weakening | mean kept, {ORDERS[0]} first | mean kept, {ORDERS[1]} first | area between"
    rows, positive = [], 0
    for concept, found in results.items():
        first, second = mean_curves(found)
        area = np.array([area_between(pair) for pair in found])
        error = f" ± {area.std(ddof=1) / np.sqrt(len(area)):.3f}" if len(area) > 1 else ""
        positive += area.mean() > 0
        means = (f"{curve.area:.3f}" for curve in (first, second))
        rows.append((concept, f"{first.scores[0]:.0%}", *means, f"{area.mean():+.3f}{error}"))
    return bench.markdown(columns, rows) + (
        f"\n\n{options.prompts * options.batch} pictures at each point ({options.prompts} prompts, {options.batch} seeds each, "
        f"{options.steps} euler steps, cfg {CFG:g}), {options.points} numbers of heads from none to all; ± is one standard error "
        f"over the prompts. The area is positive for {positive} of {len(results)} concepts."
    )


def draw_figure(results: dict[str, list]) -> None:
    """All curves on one sheet, two charts in a row."""
    from PIL import Image

    from hrv_pack.hrv.steer.weakening_chart import HEIGHT, WIDTH, curve_chart

    rows = -(-len(results) // 2)
    sheet = Image.new("RGB", (2 * WIDTH, rows * HEIGHT), (250, 250, 250))
    for place, (concept, found) in enumerate(results.items()):
        chart = curve_chart(mean_curves(found), concept, "share of pictures that keep it")
        picture = Image.fromarray((chart.numpy() * 255).round().astype(np.uint8))
        sheet.paste(picture, (place % 2 * WIDTH, place // 2 * HEIGHT))
    small = sheet.resize((WIDTH * 3 // 2, rows * HEIGHT * 3 // 4), Image.Resampling.LANCZOS)
    small.save(FIGURE, optimize=True)
