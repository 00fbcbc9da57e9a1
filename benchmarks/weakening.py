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
import json
import sys
from pathlib import Path

import bench

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
MARKS = ("<!-- weakening: written by benchmarks/weakening.py -->", "<!-- end of weakening -->")


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    bench.start_host()
    import torch
    import truth

    if options.threads:
        torch.set_num_threads(options.threads)
    truth.start_nodes()
    results = measure(options)
    text = markdown(results, options)
    print(f"\n{text}\n", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    if not options.no_write:
        draw_figure(results)
        command = " ".join(["python3 dev.py bench --suite weakening", *arguments])
        steps = truth.training_steps(options.checkpoint)
        write(f"`{command}`, on the demo model after {steps} training steps.\n\n{text}")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dev.py bench --suite weakening",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    data = bench.ROOT / "hrv_data"
    parser.add_argument("--vectors", type=Path, default=data / "vectors" / "demo_checkpoint.safetensors")
    parser.add_argument("--checkpoint", type=Path, default=data / "demo" / "demo_checkpoint.safetensors")
    parser.add_argument(
        "--prompts", type=int, default=6, help="new single-object prompts, all attributes named"
    )
    parser.add_argument("--batch", type=int, default=4, help="pictures of each prompt")
    parser.add_argument("--points", type=int, default=8, help="numbers of heads, none and all included")
    parser.add_argument("--steps", type=int, default=12, help="euler steps of a picture")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: torch's choice)")
    parser.add_argument("--json", type=Path, help="write all figures here as well")
    parser.add_argument("--no-write", action="store_true", help="print only, leave docs/ alone")
    parser.add_argument(
        "--quick", action="store_true", help="two prompts: shows that it runs; writes nothing"
    )
    options = parser.parse_args(arguments)
    if options.quick:
        options.prompts, options.batch, options.points, options.steps, options.no_write = 2, 1, 3, 2, True
    if not options.vectors.is_file():
        parser.error(f"{options.vectors} is not there: Build Head Relevance makes vectors for the demo model")
    return options


def measure(options: argparse.Namespace) -> dict[str, dict]:
    """Concept → {"counts", "most relevant", "least relevant": share kept, (prompt, point); "area": (prompt,)}."""
    import numpy as np
    import truth
    from demo_pictures import Drawer

    from hrv_pack.hrv.files import vector_files
    from hrv_pack.hrv.relevance.vectors import ORDERS
    from hrv_pack.hrv.steer.weakening import area_between, curves, sweep

    drawer, vectors = Drawer(options.checkpoint), vector_files.read(options.vectors)
    scenes = some_scenes(options.prompts, options.seed)
    done, progress = 0, truth.counter("prompts of a concept", len(scenes) * len(QUESTIONS))
    kept: dict[str, list] = {concept: [] for concept in QUESTIONS}
    for number, scene in enumerate(scenes):
        plain: dict = {}  # answers without steering, the same for all concepts
        for concept, question in QUESTIONS.items():
            heads, counts, orders = sweep(vectors, concept, options.points, "both")
            answers = dict(plain)
            scores = []
            for selection, count, order in zip(heads, counts, orders, strict=True):
                key = (count, order if 0 < count < vectors.heads else None)
                if key not in answers:
                    answers[key] = weakened(
                        drawer, scene, word_of(scene, concept), selection, options.seed + number, options
                    )
                if count == 0:
                    plain[key] = answers[key]
                wanted = word_of(scene, concept)
                scores.append(float(np.mean([answer[question] == wanted for answer in answers[key]])))
            kept[concept].append(curves(counts, orders, scores))
            done += 1
            progress(done)
    results = {}
    for concept, found in kept.items():
        results[concept] = {
            "counts": list(found[0][0].counts),
            "area": [area_between(pair) for pair in found],
        }
        for place, order in enumerate(ORDERS):
            results[concept][order] = [list(pair[place].scores) for pair in found]
    return results


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
    import numpy as np

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


def markdown(results: dict[str, dict], options: argparse.Namespace) -> str:
    """One row for each concept; the area with its standard error over prompts."""
    import numpy as np
    from demo_pictures import CFG

    from hrv_pack.hrv.relevance.vectors import ORDERS

    pictures = options.prompts * options.batch
    lines = [
        f"| concept | kept without weakening | mean kept, {ORDERS[0]} first | mean kept, {ORDERS[1]} first | area between |",
        "|---|---|---|---|---|",
    ]
    positive = 0
    for concept, found in results.items():
        at_none = np.mean([scores[0] for scores in found[ORDERS[0]]])
        means = [area_under(found, order) for order in ORDERS]
        area = np.array(found["area"])
        error = f" ± {area.std(ddof=1) / np.sqrt(len(area)):.3f}" if len(area) > 1 else ""
        positive += area.mean() > 0
        lines.append(
            f"| {concept} | {at_none:.0%} | {means[0]:.3f} | {means[1]:.3f} | {area.mean():+.3f}{error} |"
        )
    return "\n".join(lines) + (
        f"\n\n{pictures} pictures at each point ({options.prompts} prompts, {options.batch} seeds each, {options.steps} euler "
        f"steps, cfg {CFG:g}), {options.points} numbers of heads from none to all; ± is one standard error over the prompts. The "
        f"area is positive for {positive} of {len(results)} concepts."
    )


def area_under(found: dict, order: str) -> float:
    import numpy as np

    from hrv_pack.hrv.steer.weakening import Curve

    mean = np.mean(found[order], axis=0)
    return Curve(order, tuple(found["counts"]), tuple(mean.tolist())).area


def draw_figure(results: dict[str, dict]) -> None:
    """All curves on one sheet, two charts in a row."""
    import numpy as np
    from PIL import Image

    from hrv_pack.hrv.relevance.vectors import ORDERS
    from hrv_pack.hrv.steer.weakening import Curve
    from hrv_pack.hrv.steer.weakening_chart import HEIGHT, WIDTH, curve_chart

    rows = -(-len(results) // 2)
    sheet = Image.new("RGB", (2 * WIDTH, rows * HEIGHT), (250, 250, 250))
    for place, (concept, found) in enumerate(results.items()):
        means = {order: np.mean(found[order], axis=0).tolist() for order in ORDERS}
        pair = [Curve(order, tuple(found["counts"]), tuple(means[order])) for order in ORDERS]
        chart = curve_chart(pair, concept, "share of pictures that keep it")
        picture = Image.fromarray((chart.numpy() * 255).round().astype(np.uint8))
        sheet.paste(picture, (place % 2 * WIDTH, place // 2 * HEIGHT))
    sheet.resize((WIDTH * 3 // 2, rows * HEIGHT * 3 // 4), Image.Resampling.LANCZOS).save(
        FIGURE, optimize=True
    )


def write(text: str) -> None:
    """Puts the figures between their marks."""
    before, found, rest = DOCUMENT.read_text(encoding="utf-8").partition(MARKS[0])
    _, found_end, after = rest.partition(MARKS[1])
    if not (found and found_end):
        raise SystemExit(f"{DOCUMENT} has no marks for ordered weakening.")
    picture = (
        f"![Share of pictures that keep the attribute, against the number of weakened heads]({FIGURE.name})"
    )
    DOCUMENT.write_text(f"{before}{MARKS[0]}\n{text}\n\n{picture}\n{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
