"""Heatmaps against exactly known masks, and verdicts against what was drawn, on the demo model.

    python3 dev.py bench --suite truth                          everything; writes docs/results.md and its figure
    python3 dev.py bench --suite truth --part iou --scenes 500
    python3 dev.py bench --suite truth --quick --no-write       a few scenes, to see that it runs

Every scene is drawn anew with exact masks, encoded, sampled again from half the noise with its caption through Record
Attention (VAEEncode, CLIPTextEncode, KSampler), so the scene stays where it was. What is chosen by measurement
(hrv/relevance/heads_for_word.py, hrv/look/compare.py) was chosen on scenes of other seeds than those reported here.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import bench

REPORT_SEED, TUNING_SEED = 950_001, 930_001  # training draws from neither
# of two-sense words; 930_001 and 950_001 were used to choose and measure earlier forms
SENSES_REPORT_SEED, SENSES_TUNING_SEED = 990_001, 960_001
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
    relevance = load_vectors({"votes": options.vectors, "agreement": options.agreement}, studio.layout)
    figures: dict = {"seed": options.seed, "checkpoint": str(options.checkpoint)}
    if "iou" in options.parts:
        results = truth_iou.measure(
            studio, options.scenes, options.seed, relevance, counter("scenes", options.scenes)
        )
        text = truth_iou.markdown(results, options.scenes)
        for method in {"votes", "agreement"} - set(relevance):
            text += f"\n\nNo file with head relevance by {method} was given, so its rows are left out."
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
        sets = {
            "tuning": (SENSES_TUNING_SEED, options.tuning_pictures),
            "report": (SENSES_REPORT_SEED, options.pictures),
        }
        found = truth_ambiguity.measure(studio, sets, relevance, counter)
        figures["ambiguity"] = {
            name: [truth_ambiguity.plain(row) for row in rows] for name, rows in found.items()
        }
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
    vectors = bench.ROOT / "hrv_data" / "vectors"
    parser.add_argument(
        "--part", dest="parts", nargs="+", choices=("iou", "ambiguity"), default=("iou", "ambiguity")
    )
    parser.add_argument("--scenes", type=int, default=300, help="new rendered scenes")
    for option, number, which in (
        ("--pictures", 126, "reported"),
        ("--tuning-pictures", 150, "compared scores on"),
    ):
        what = f"drawn of each sort of pictures of a two-sense word, {which}"
        parser.add_argument(option, type=int, default=number, help=what)
    parser.add_argument("--seed", type=int, default=REPORT_SEED, help="of the scenes")
    parser.add_argument("--checkpoint", type=Path, default=demo)
    for option, name in (("--vectors", "demo_checkpoint"), ("--agreement", "demo_checkpoint_agreement")):
        how = "by votes" if option == "--vectors" else "by agreement"
        path = vectors / f"{name}.safetensors"
        parser.add_argument(
            option, type=Path, default=path, help=f"head relevance built for the demo model {how}"
        )
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: torch's choice)")
    parser.add_argument("--json", type=Path, help="write all figures here as well")
    parser.add_argument("--no-write", action="store_true", help="print only, leave docs/results.md alone")
    parser.add_argument(
        "--quick", action="store_true", help="a few scenes: shows that it runs; writes nothing"
    )
    options = parser.parse_args(arguments)
    if options.quick:
        options.scenes, options.pictures, options.tuning_pictures, options.no_write = 3, 6, 6, True
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


def load_vectors(paths: dict[str, Path], layout) -> dict:
    """The head relevance by each method; without those, with a plain line, whose file is not there."""
    from hrv_pack.hrv.files import vector_files

    found = {}
    for method, path in paths.items():
        if not path.is_file():
            say(f"{path} is not there: rows by {method} are left out. tools/make_demo_vectors.py makes it.")
            continue
        found[method] = vector_files.read(path)
        found[method].check(layout)
    return found


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
