"""Edit Prompt on the demo model: does the word change the picture, and does the rest of it stay?

    python3 dev.py bench --suite editing                    204 pictures of 51 prompts; writes docs/results.md
    python3 dev.py bench --suite editing --tune             compares settings on other prompts; writes nothing
    python3 dev.py bench --suite editing --quick            a few pictures, to see that it runs; writes nothing

A caption of one object is drawn, then drawn again with one word changed (its colour, pattern or kind): plainly, with the same
seed; by Edit Prompt; and by Edit Prompt with head relevance of the word's concept. The demo world's judge says whether the new
word was drawn and whether its other answers stay. Outside the first picture's object, pictures are compared pixel by pixel.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import bench

CFG = 4.5
REPORT_SEED, TUNING_SEED = 970_001, 980_001  # training and the other benchmarks draw from other seeds
DOCUMENT = bench.ROOT / "docs" / "results.md"
MARKS = ("<!-- editing: written by benchmarks/editing.py -->", "<!-- end of editing -->")


@dataclass(frozen=True)
class Setting:
    """What a second sampler does. cross, own: cross_percent and self_percent, None for no Edit Prompt at all."""

    name: str
    cross: float | None = None
    own: float = 0.0
    grids: str = "all"
    strength: float = 0.0
    place: str = "the old word's place"


PLAIN = Setting("the changed prompt alone")
REPORTED = (
    PLAIN,
    Setting("Edit Prompt", 0.8, 0.4),
    Setting("Edit Prompt with head relevance", 0.8, 0.4, strength=1.0),
)
TUNED = (
    PLAIN,
    *(
        Setting(f"cross {cross:g}, self {own:g}, {grids}", cross, own, grids)
        for cross in (0.4, 0.8)
        for own in (0.0, 0.2, 0.4)
        for grids in ("all", "all but the largest")
        if own or grids == "all"
    ),
    Setting("cross 0.8, self 0.4, all, a place of its own", 0.8, 0.4, place="a place of its own"),
    *(Setting(f"cross 0.8, self 0.4, all, strength {s:g}", 0.8, 0.4, strength=s) for s in (0.5, 1.0, 2.0)),
)


@dataclass
class Seen:
    """One second picture. changed: whether the judge sees the new word; kept: share of its other answers that stay.

    outside: mean absolute difference from the first picture outside its object, as a share of 255; outline: IoU of the
    objects of both pictures.
    """

    question: str
    prompt: int
    changed: bool
    kept: float
    outside: float
    outline: float


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    bench.start_host()
    import torch
    import truth
    from editing_scenes import QUESTIONS, check_masks, pairs

    if options.threads:
        torch.set_num_threads(options.threads)
    truth.start_nodes()
    settings = TUNED if options.tune else REPORTED
    wanted = pairs(options.prompts, options.seed)
    studio = Studio(options)
    progress = truth.counter("prompts", len(wanted))
    results: dict[str, list[Seen]] = {setting.name: [] for setting in settings}
    for number, pair in enumerate(wanted):
        for name, seen in studio.draw(pair, settings, options.seed + number).items():
            results[name] += seen
        progress(number + 1)
    masks = check_masks(8 if options.quick else 200, options.seed)
    text = "\n\n".join(
        [table(results, None), *(table(results, q) for q in QUESTIONS), footnote(options, masks)]
    )
    print(f"\n{text}\n", flush=True)
    if options.json:
        rows = {name: [vars(one) for one in seen] for name, seen in results.items()}
        options.json.write_text(json.dumps({"mask_iou": masks, "rows": rows}, indent=1))
    if not (options.no_write or options.tune):
        command = " ".join(["python3 dev.py bench --suite editing", *arguments])
        steps = truth.training_steps(options.checkpoint)
        write(f"`{command}`, on the demo model after {steps} training steps.\n\n{text}")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dev.py bench --suite editing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    data = bench.ROOT / "hrv_data"
    parser.add_argument("--vectors", type=Path, default=data / "vectors" / "demo_checkpoint.safetensors")
    parser.add_argument("--checkpoint", type=Path, default=data / "demo" / "demo_checkpoint.safetensors")
    parser.add_argument("--prompts", type=int, default=17, help="pairs of prompts of each of the three kinds")
    parser.add_argument(
        "--batch", type=int, default=4, help="pictures of each pair, each from a seed of its own"
    )
    parser.add_argument("--steps", type=int, default=8, help="euler steps of a picture")
    parser.add_argument(
        "--seed", type=int, default=0, help="0: the one that is reported, or with --tune the other"
    )
    parser.add_argument("--tune", action="store_true", help="compare settings instead; writes nothing")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: torch's choice)")
    parser.add_argument("--json", type=Path, help="write all figures here as well")
    parser.add_argument("--no-write", action="store_true", help="print only, leave docs/results.md alone")
    parser.add_argument(
        "--quick", action="store_true", help="a few pictures: shows that it runs; writes nothing"
    )
    options = parser.parse_args(arguments)
    if options.quick:
        options.prompts, options.batch, options.steps, options.no_write = 1, 1, 2, True
    options.seed = options.seed or (TUNING_SEED if options.tune else REPORT_SEED)
    if not options.tune and options.seed == TUNING_SEED:
        parser.error(f"seed {TUNING_SEED} is the one that was tuned on; report on another")
    if not options.vectors.is_file():
        parser.error(f"{options.vectors} is not there: Build Head Relevance makes vectors for the demo model")
    return options


class Studio:
    """The demo model, its vectors and its judge, and the nodes that a graph would have."""

    def __init__(self, options: argparse.Namespace):
        import nodes

        from hrv_pack.host import demo_checkpoint
        from hrv_pack.hrv import vector_files
        from hrv_pack.tools.train_demo import judge

        self.nodes, self.options = nodes, options
        self.model, self.clip, self.vae = demo_checkpoint.load(options.checkpoint)
        self.vectors = vector_files.read(options.vectors)
        self.judge, self.ask = judge.load(), judge.ask

    def draw(self, pair, settings: Sequence[Setting], seed: int) -> dict[str, list[Seen]]:
        """Setting → what was seen in the second picture of each of the batch."""
        import torch

        from hrv_pack.nodes.prompt_edit import HRVRememberRun

        with torch.inference_mode():
            remembering, clip, source = HRVRememberRun.execute(self.model, 256, self.clip).result
            before, after, negative = (
                self.nodes.CLIPTextEncode().encode(clip, text)[0] for text in (pair.before, pair.after, "")
            )
            first = self._sample(remembering, before, negative, seed)
            old = self._pictures(first)
            found = {}
            for setting in settings:
                model = self._model(setting, source, first, pair.question)
                found[setting.name] = self._pictures(self._sample(model, after, negative, seed))
        return {name: self._compare(pair, seed, old, new) for name, new in found.items()}

    def _model(self, setting: Setting, source, latent, question: str):
        from editing_scenes import QUESTIONS

        from hrv_pack.nodes.prompt_edit import HRVPromptEdit

        if setting.cross is None:
            return self.model
        vectors = self.vectors if setting.strength else None
        return HRVPromptEdit.execute(
            self.model, source, latent, setting.cross, setting.own, setting.place, QUESTIONS[question], "",
            setting.strength, 0.0, setting.grids, vectors,
        ).result[0]  # fmt: skip

    def _sample(self, model, positive, negative, seed: int):
        (latent,) = self.nodes.EmptyLatentImage().generate(256, 256, self.options.batch)
        steps = self.options.steps
        return self.nodes.KSampler().sample(
            model, seed, steps, CFG, "euler", "normal", positive, negative, latent
        )[0]

    def _pictures(self, latent):
        """uint8 (picture, height, width, RGB)."""
        pictures = self.nodes.VAEDecode().decode(self.vae, latent)[0]
        return (pictures.clamp(0, 1) * 255).round().byte().numpy()

    def _compare(self, pair, seed: int, old, new) -> list[Seen]:
        import numpy as np
        from editing_scenes import iou, object_mask, surroundings

        found = []
        answers = zip(self.ask(self.judge, list(old)), self.ask(self.judge, list(new)), strict=True)
        for before, after, (was, now) in zip(old, new, answers, strict=True):
            others = [question for question in was if question != pair.question]
            mask = object_mask(before)
            difference = np.abs(after.astype(np.float32) - before.astype(np.float32)).mean(-1) / 255
            found.append(
                Seen(
                    pair.question,
                    seed,
                    now[pair.question] == pair.wanted,
                    float(np.mean([was[question] == now[question] for question in others])),
                    float(difference[surroundings(mask)].mean()) if surroundings(mask).any() else 0.0,
                    iou(mask, object_mask(after)),
                )
            )
        return found


def table(results: dict[str, list[Seen]], question: str | None) -> str:
    """One row for each setting; of one kind of change, or of all (None)."""
    what = "all changes" if question is None else f"another {question}"
    lines = [
        f"| {what} | new word drawn | other attributes kept | change outside the object | less than plainly | outline kept |",
        "|---|---|---|---|---|---|",
    ]
    plain = _by_prompt(results[PLAIN.name], question, "outside")
    for name, seen in results.items():
        changed, kept, outside, outline = (
            mean(_by_prompt(seen, question, value)) for value in ("changed", "kept", "outside", "outline")
        )
        less = [
            before - now for before, now in zip(plain, _by_prompt(seen, question, "outside"), strict=True)
        ]
        margin = "" if name == PLAIN.name else f"{100 * mean(less):.2f} ± {100 * interval(less):.2f} %"
        lines.append(
            f"| {name} | {changed:.0%} | {kept:.0%} | {100 * outside:.2f} % | {margin} | {outline:.2f} |"
        )
    return "\n".join(lines)


def _by_prompt(seen: list[Seen], question: str | None, value: str) -> list[float]:
    """The mean of each prompt's pictures, for they are alike."""
    prompts: dict[int, list[float]] = {}
    for one in seen:
        if question in (None, one.question):
            prompts.setdefault(one.prompt, []).append(float(getattr(one, value)))
    return [mean(values) for values in prompts.values()]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def interval(values: Sequence[float]) -> float:
    """Half of the 95 % interval of the mean."""
    import numpy as np

    return float(1.96 * np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def footnote(options: argparse.Namespace, masks: float) -> str:
    from editing_scenes import MARGIN, QUESTIONS

    count = options.prompts * len(QUESTIONS)
    return (
        f"{count * options.batch} pictures of {count} pairs of prompts, {options.steps} euler steps, cfg {CFG:g}, the same seed "
        "for both pictures; none is left out. Change: mean absolute difference from the first picture in per cent of the "
        f"range, where that picture has no object ({MARGIN} pixels around it left out too). The object is what differs from "
        f"the colour of the picture's edge; on rendered scenes this finds the exact mask with an IoU of {masks:.2f}. ± is half "
        "of a 95 % interval over prompts. Outline: IoU of the objects of both pictures."
    )


def write(text: str) -> None:
    """Puts the figures between their marks."""
    before, found, rest = DOCUMENT.read_text(encoding="utf-8").partition(MARKS[0])
    _, found_end, after = rest.partition(MARKS[1])
    if not (found and found_end):
        raise SystemExit(f"{DOCUMENT} has no marks for editing.")
    DOCUMENT.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
