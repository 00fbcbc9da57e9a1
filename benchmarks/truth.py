"""Heatmaps against exactly known masks, and verdicts against what was drawn, on the demo model.

    python3 dev.py bench --suite truth                          everything; writes docs/results.md and its figure
    python3 dev.py bench --suite truth --part iou --scenes 500
    python3 dev.py bench --suite truth --quick --no-write       a few scenes, to see that it runs

Every scene is drawn anew with exact masks, encoded, sampled again from half the noise with its caption through Record
Attention (VAEEncode, CLIPTextEncode, KSampler), so the scene stays where it was. What is chosen by measurement
(hrv/auto_heads.py, hrv/compare.py) was chosen on scenes of other seeds than those reported here.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import bench

REPORT_SEED, TUNING_SEED = 950_001, 930_001  # training draws from neither
DOCUMENT = bench.ROOT / "docs" / "results.md"
FIGURE = bench.ROOT / "docs" / "share_of_heads.png"
FIGURE_THRESHOLD = 1  # 0.4


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    bench.start_host()
    import torch

    if options.threads:
        torch.set_num_threads(options.threads)
    start_nodes()
    import truth_ambiguity
    import truth_iou
    import truth_scenes

    studio = truth_scenes.Studio(options.checkpoint)
    votes = load_vectors(options.vectors, studio.layout)
    relevance = {"": votes} if votes is not None else {}
    if options.tuning_scenes:
        say(f"relevance by agreement and by preference from {options.tuning_scenes} other scenes …")
        relevance |= truth_iou.other_vectors(studio, options.tuning_scenes, TUNING_SEED)
    figures: dict = {
        "seed": options.seed,
        "checkpoint": str(options.checkpoint),
        "vectors": str(options.vectors),
    }
    if "iou" in options.parts:
        results = truth_iou.measure(
            studio, options.scenes, options.seed, relevance, counter("scenes", options.scenes)
        )
        text = truth_iou.markdown(results, options.scenes)
        if votes is None:
            text += "\n\nNo file with voted head relevance was given, so rows by votes are left out."
        text += f"\n\n![Mean IoU at threshold 0.4 against the share of heads]({FIGURE.name})"
        figures["iou"] = {"rows": results.rows, "curves": results.curves, "kept": results.kept}
        publish("iou", text, options, arguments)
        curves = {
            name: {share: float(torch.tensor(v)[:, FIGURE_THRESHOLD].mean()) for share, v in curve.items()}
            for name, curve in results.curves.items()
        }
        if not options.no_write:
            draw_figure(curves, results)
    if "ambiguity" in options.parts:
        named = {"": "votes", "agree_": "agreement", "prefer_": "preference"}
        found = truth_ambiguity.measure(
            studio, options.pictures, options.seed, {named[k]: v for k, v in relevance.items()},
            counter("pictures", options.pictures),
        )  # fmt: skip
        figures["ambiguity"] = found
        publish("ambiguity", truth_ambiguity.markdown(found), options, arguments)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dev.py bench --suite truth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    demo = bench.ROOT / "hrv_data" / "demo" / "demo_checkpoint.safetensors"
    vectors = bench.ROOT / "hrv_data" / "vectors" / "demo_checkpoint.safetensors"
    parser.add_argument(
        "--part", dest="parts", nargs="+", choices=("iou", "ambiguity"), default=("iou", "ambiguity")
    )
    parser.add_argument("--scenes", type=int, default=300, help="new rendered scenes")
    parser.add_argument(
        "--pictures", type=int, default=200, help="pictures of a two-sense word whose sense can be told"
    )
    parser.add_argument(
        "--tuning-scenes",
        type=int,
        default=100,
        help="other scenes, for relevance by agreement and preference (0: none)",
    )
    parser.add_argument("--seed", type=int, default=REPORT_SEED)
    parser.add_argument("--checkpoint", type=Path, default=demo)
    parser.add_argument(
        "--vectors", type=Path, default=vectors, help="head relevance built for the demo model by votes"
    )
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: torch's choice)")
    parser.add_argument("--json", type=Path, help="write all figures here as well")
    parser.add_argument("--no-write", action="store_true", help="print only, leave docs/results.md alone")
    parser.add_argument(
        "--quick", action="store_true", help="a few scenes: shows that it runs; writes nothing"
    )
    options = parser.parse_args(arguments)
    if options.quick:
        options.scenes, options.pictures, options.tuning_scenes, options.no_write = 3, 4, 2, True
    if options.seed == TUNING_SEED:
        parser.error(f"seed {TUNING_SEED} is the one that was tuned on; report on another")
    return options


def start_nodes() -> None:
    """Folders and server that ComfyUI's nodes expect, without a running server."""
    import asyncio

    import comfy.utils
    import server

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    if getattr(server.PromptServer, "instance", None) is None:
        server.PromptServer(loop)
    comfy.utils.PROGRESS_BAR_ENABLED = False


def load_vectors(path: Path, layout):
    """The voted head relevance; None, with a plain line, where there is no file."""
    from hrv_pack.hrv import vector_files

    if not path.is_file():
        say(f"{path} is not there: rows by votes are left out. Build Head Relevance makes such a file.")
        return None
    vectors = vector_files.read(path)
    vectors.check(layout)
    return vectors


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def counter(what: str, total: int):
    """A progress line every half minute."""
    start = last = time.monotonic()

    def progress(done: int) -> None:
        nonlocal last
        if time.monotonic() - last > 30 or done >= total:
            last = time.monotonic()
            say(f"{done} of {total} {what}, {last - start:.0f} s")

    return progress


def publish(part: str, text: str, options: argparse.Namespace, arguments: list[str]) -> None:
    """Prints a part's figures and writes them between its marks in docs/results.md, with the command."""
    print(f"\n{text}\n", flush=True)
    if options.no_write:
        return
    command = " ".join(["python3 dev.py bench --suite truth", *arguments])
    begin, end = f"<!-- {part}: written by benchmarks/truth.py -->", f"<!-- end of {part} -->"
    before, found, rest = DOCUMENT.read_text(encoding="utf-8").partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise SystemExit(f"{DOCUMENT} has no marks for {part}.")
    steps = training_steps(options.checkpoint)
    body = f"`{command}`, on the demo model after {steps} training steps.\n\n{text}"
    DOCUMENT.write_text(f"{before}{begin}\n{body}\n{end}{after}", encoding="utf-8")


def training_steps(checkpoint: Path) -> str:
    from safetensors import safe_open

    with safe_open(checkpoint, framework="pt") as file:
        return (file.metadata() or {}).get("training_steps", "an unknown number of")


def draw_figure(curves: dict, results) -> None:
    import numpy as np
    import truth_figure
    import truth_iou

    daam = float(np.array(results.rows[truth_iou.NAMES["daam"]])[:, FIGURE_THRESHOLD].mean())
    truth_figure.draw(curves, daam, "Mean IoU at threshold 0.4 against the share of heads", FIGURE)


if __name__ == "__main__":
    main(sys.argv[1:])
