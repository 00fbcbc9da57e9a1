"""Edit Prompt on the demo model: does the word change the picture, and does the rest of it stay?

    python3 dev.py bench --suite editing                    204 pictures of 51 prompts; writes docs/results.md
    python3 dev.py bench --suite editing --variants 0       without head relevance and masks: two thirds of the time
    python3 dev.py bench --suite editing --quick            a few pictures, to see that it runs; writes nothing

A caption of one object is drawn, then drawn again with one word changed (its colour, pattern or kind): plainly, with the same
seed; by Edit Prompt; with head relevance of the word's concept; and inside the mask of the noun in the first picture, as
Attention Heatmap finds it. The demo world's judge says whether the new
word was drawn and whether its other answers stay. Outside the first picture's object, pictures are compared pixel by pixel.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import bench
import editing_report
from editing_report import Seen

CFG = 4.5
REPORT_SEED, TUNING_SEED = 970_001, 980_001  # training and the other benchmarks draw from other seeds
DOCUMENT = bench.ROOT / "docs" / "results.md"
MARKS = ("<!-- editing: written by benchmarks/editing.py -->", "<!-- end of editing -->")


@dataclass(frozen=True)
class Setting:
    """What a second sampler does. cross, own: cross_percent and self_percent; masked: inside the mask of the first picture's
    noun; none of all that: no Edit Prompt at all. every: one in how many pairs of prompts is drawn."""

    name: str
    cross: float = 0.0
    own: float = 0.0
    grids: str = "all"
    strength: float = 0.0
    place: str = "the old word's place"
    masked: bool = False
    every: int = 1


PLAIN = Setting(editing_report.PLAIN)
TUNED = (
    PLAIN,
    *(
        Setting(f"cross_percent {cross:g}, self_percent {own:g}", cross, own)
        for cross, own in ((0.2, 0.0), (0.4, 0.0), (0.4, 0.2), (0.8, 0.4))
    ),
)


def reported(chosen: Setting, every: int) -> tuple[Setting, ...]:
    """The settings of the report; the last ones are drawn for one in `every` pairs (0: not at all)."""
    variants = (
        replace(chosen, name="Edit Prompt with head relevance", strength=1.0, every=every),
        replace(chosen, name="Edit Prompt with the word's mask", masked=True, every=every),
        Setting("the word's mask alone", masked=True, every=every),
    )
    return (PLAIN, replace(chosen, name="Edit Prompt"), *(variants if every else ()))


def best(results: dict[str, list[Seen]]) -> Setting:
    """The tuned setting with the largest share of new words drawn with the other attributes kept, less half of the change outside
    the object as a share of that of the changed prompt alone: an edit that changes nothing at all is worth nothing."""
    plain = editing_report.mean(one.outside for one in results[PLAIN.name])

    def score(setting: Setting) -> float:
        seen = results[setting.name]
        drawn = editing_report.mean(one.changed * one.kept for one in seen)
        return drawn - editing_report.mean(one.outside for one in seen) / plain / 2

    return max(TUNED[1:], key=score)


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    bench.start_host()
    import torch
    import truth
    from editing_scenes import QUESTIONS, check_masks

    if options.threads:
        torch.set_num_threads(options.threads)
    truth.start_nodes()
    studio = Studio(options)
    tuned = draw_all(studio, TUNED, options.tuning_prompts, 2, TUNING_SEED, options)
    chosen = best(tuned)
    print(f"\n{editing_report.table(tuned, None)}\n\nchosen: {chosen.name}\n", flush=True)
    results = draw_all(
        studio, reported(chosen, options.variants), options.prompts, options.batch, options.seed, options
    )
    masks = check_masks(8 if options.quick else 200, options.seed)
    note = editing_report.footnote(options, CFG, masks)
    note += (
        f" Edit Prompt with {chosen.name} and self-attention on all grids, chosen from {len(TUNED) - 1} settings on "
        f"{options.tuning_prompts * len(QUESTIONS)} other pairs."
    )
    tried = f"The settings that were tried, on those pairs:\n\n{editing_report.table(tuned, None)}"
    tables = (editing_report.table(results, question) for question in (None, *QUESTIONS))
    text = "\n\n".join([*tables, note, tried])
    print(f"\n{text}\n", flush=True)
    if not options.no_write:
        command = " ".join(["python3 dev.py bench --suite editing", *arguments])
        steps = truth.training_steps(options.checkpoint)
        write(f"`{command}`, on the demo model after {steps} training steps.\n\n{text}")


def draw_all(studio: Studio, settings: Sequence[Setting], prompts: int, batch: int, seed: int, options):
    """Setting → what was seen in the second pictures of `prompts` pairs of each kind of change."""
    import truth
    from editing_scenes import QUESTIONS, pairs

    wanted = pairs(prompts, seed)
    progress = truth.counter("pairs of prompts", len(wanted))
    results: dict[str, list[Seen]] = {setting.name: [] for setting in settings}
    for number, pair in enumerate(wanted):
        drawn = [one for one in settings if number // len(QUESTIONS) % one.every == 0]
        for name, seen in studio.draw(pair, drawn, seed + number, batch).items():
            results[name] += seen
        save(results, options)
        progress(number + 1)
    return results


def save(results: dict[str, list[Seen]], options: argparse.Namespace) -> None:
    """All that was seen so far, for a run that is ended early."""
    if options.json:
        rows = {name: [vars(one) for one in seen] for name, seen in results.items()}
        options.json.write_text(json.dumps(rows, indent=1))


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
    parser.add_argument("--seed", type=int, default=REPORT_SEED)
    parser.add_argument(
        "--tuning-prompts", type=int, default=3, help="other pairs of each kind, to choose percents on"
    )
    parser.add_argument(
        "--variants", type=int, default=4, help="head relevance and masks on one in so many pairs (0: none)"
    )
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: torch's choice)")
    parser.add_argument("--json", type=Path, help="write all figures here as well")
    parser.add_argument("--no-write", action="store_true", help="print only, leave docs/results.md alone")
    parser.add_argument(
        "--quick", action="store_true", help="a few pictures: shows that it runs; writes nothing"
    )
    options = parser.parse_args(arguments)
    if options.quick:
        options.prompts, options.batch, options.steps, options.no_write = 1, 1, 2, True
        options.tuning_prompts = 1
    if options.seed == TUNING_SEED:
        parser.error(f"seed {TUNING_SEED} is the one that was tuned on; report on another")
    if not options.vectors.is_file():
        parser.error(f"{options.vectors} is not there: Build Head Relevance makes vectors for the demo model")
    return options


class Studio:
    """The demo model, its vectors and its judge, and the nodes that a graph would have."""

    def __init__(self, options: argparse.Namespace):
        import nodes

        from hrv_pack.host.store import demo_checkpoint
        from hrv_pack.hrv.files import vector_files
        from hrv_pack.tools.train_demo import judge

        self.nodes, self.options = nodes, options
        self.model, self.clip, self.vae = demo_checkpoint.load(options.checkpoint)
        self.vectors = vector_files.read(options.vectors)
        self.judge, self.ask = judge.load(), judge.ask

    def draw(self, pair, settings: Sequence[Setting], seed: int, batch: int) -> dict[str, list[Seen]]:
        """Setting → what was seen in the second picture of each of the batch."""
        import torch

        from hrv_pack.nodes.look.record import HRVRecordAttention
        from hrv_pack.nodes.steer.prompt_edit import HRVRememberRun

        with torch.inference_mode():
            recorded, clip, recording = HRVRecordAttention.execute(
                self.model, 0.0, 1.0, 1, False, 512, self.clip
            ).result
            remembering, clip, source = HRVRememberRun.execute(recorded, 256, clip).result
            before, after, negative = (
                self.nodes.CLIPTextEncode().encode(clip, text)[0] for text in (pair.before, pair.after, "")
            )
            first = self._sample(remembering, before, negative, seed, batch)
            old, mask, found = self._pictures(first), word_mask(recording, first, pair.noun), {}
            for setting in settings:
                model = self._model(setting, source, first, pair.question, mask)
                found[setting.name] = self._pictures(self._sample(model, after, negative, seed, batch))
        return {name: self._compare(pair, seed, old, new) for name, new in found.items()}

    def _model(self, setting: Setting, source, latent, question: str, mask):
        from editing_scenes import QUESTIONS

        from hrv_pack.nodes.steer.prompt_edit import HRVPromptEdit

        if setting == PLAIN:
            return self.model
        vectors = self.vectors if setting.strength else None
        return HRVPromptEdit.execute(
            self.model, source, latent, setting.cross, setting.own, setting.place, QUESTIONS[question], "",
            setting.strength, 0.0, setting.grids, vectors, mask if setting.masked else None,
        ).result[0]  # fmt: skip

    def _sample(self, model, positive, negative, seed: int, batch: int):
        (latent,) = self.nodes.EmptyLatentImage().generate(256, 256, batch)
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


def word_mask(recording, latent, noun: str):
    """The mask of a word of the recorded pictures, as Select Heads for a Word, Attention Heatmap and Grow Mask make it:
    (picture, height, width)."""
    from editing_scenes import MARGIN
    from torch.nn import functional

    from hrv_pack.hrv.look.heatmap import heatmaps
    from hrv_pack.hrv.relevance.heads_for_word import choose_heads

    samples = latent["samples"]
    heads = choose_heads(recording.match(samples), noun, 23.0).heads
    mask = heatmaps(recording, samples, noun, heads=heads).mask
    return functional.max_pool2d(mask[:, None], 2 * MARGIN + 1, stride=1, padding=MARGIN)[:, 0]


def write(text: str) -> None:
    """Puts the figures between their marks."""
    before, found, rest = DOCUMENT.read_text(encoding="utf-8").partition(MARKS[0])
    _, found_end, after = rest.partition(MARKS[1])
    if not (found and found_end):
        raise SystemExit(f"{DOCUMENT} has no marks for editing.")
    DOCUMENT.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
