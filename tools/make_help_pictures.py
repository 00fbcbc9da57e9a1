"""Makes the pictures of the steering nodes' help pages, js/docs/*.jpg, with the demo checkpoint and the pack's own nodes.

    .host/venv/bin/python tools/make_help_pictures.py [NAME …]     strengthen_concept, adjust_concept, scale_heads, weakening
    .host/venv/bin/python tools/make_help_pictures.py --search     seeds at which tools/steering_examples.py's examples work

An example is shown as it is only if the judge network sees the wish granted with the node and not without it; where that
is no longer so, the tool says so and stops. Wants a host that dev.py made.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tools")]

import bench  # noqa: E402
from steering_examples import BY_VOTES, CFG, LOST_WORD, SIDE, STEPS, WRONG_SENSE, Example  # noqa: E402

OUT = ROOT / "js" / "docs"
SEEDS = 40
GAP, TYPE = 12, 20
FACTORS = (2.0, 1.0, 0.0, -2.0)
FEW = 5  # numbers of heads in the sweep
WHOLE = {"start_percent": 0.0, "end_percent": 1.0}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="some of the pictures; all without")
    parser.add_argument("--search", action="store_true", help="print seeds that work, make nothing")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many seeds to try")
    options = parser.parse_args()
    unknown = set(options.names) - set(PICTURES)
    if unknown:
        parser.error(f"no picture “{min(unknown)}”; there are {', '.join(PICTURES)}")
    bench.start_host()
    import truth

    truth.start_nodes()
    studio = Studio()
    if options.search:
        for name, example in (("WRONG_SENSE", WRONG_SENSE), ("LOST_WORD", LOST_WORD)):
            found = [seed for seed in range(options.seeds) if studio.works(replace(example, seed=seed))]
            print(f"{name}: {len(found)} of {options.seeds} seeds work: {found}", flush=True)
        return
    for name, make in PICTURES.items():
        if not options.names or name in options.names:
            make(studio)


class Studio:
    """The demo model with its traced CLIP, and the judge."""

    def __init__(self):
        import nodes

        from hrv_pack.host.text.clip_trace import TextRegistry, trace
        from hrv_pack.nodes.files.demo_checkpoint import HRVDemoCheckpoint
        from hrv_pack.tools.train_demo import judge

        self.nodes, self.judge, self.network = nodes, judge, judge.load()
        self.model, clip, self.vae = HRVDemoCheckpoint.execute().result
        self.clip = trace(clip, TextRegistry())

    def vectors(self):
        from hrv_pack.hrv.files import vector_files

        return vector_files.read(ROOT / "hrv_data" / "vectors" / BY_VOTES)

    def draw(self, model, prompt: str, seed: int):
        """float32 (1, height, width, 3), as VAE Decode gives it."""
        import torch

        with torch.inference_mode():
            encode = self.nodes.CLIPTextEncode().encode
            (latent,) = self.nodes.EmptyLatentImage().generate(SIDE, SIDE, 1)
            (sampled,) = self.nodes.KSampler().sample(
                model, seed, STEPS, CFG, "euler", "normal",
                encode(self.clip, prompt)[0], encode(self.clip, "")[0], latent,
            )  # fmt: skip
            return self.nodes.VAEDecode().decode(self.vae, sampled)[0].clamp(0, 1)

    def steered(self, example: Example, strength: float):
        """The model behind the example's node."""
        from hrv_pack.nodes.steer.steering import HRVAdjustConcept, HRVStrengthenConcept

        concepts = {"concept": example.concept}
        node = HRVStrengthenConcept
        if example.unwanted:
            concepts, node = {"wanted": example.concept, "unwanted": example.unwanted}, HRVAdjustConcept
        vectors = self.vectors()
        return node.execute(
            self.model, vectors, **concepts, strength=strength, clamp=0.0, words=example.words, **WHOLE
        ).result[0]

    def works(self, example: Example) -> bool:
        """Whether the wish is granted with the node and not without it, the rest being right both times."""
        before = self.seen(self.draw(self.model, example.prompt, example.seed), example.things)
        if _as_asked(before, (example.asked,)) or not _as_asked(before, example.kept):
            return False
        steered = self.steered(example, example.strength)
        after = self.seen(self.draw(steered, example.prompt, example.seed), example.things)
        return _as_asked(after, (example.asked, *example.kept))

    def seen(self, image, things: int) -> list[dict[str, str]]:
        """What the judge says of each thing."""
        import numpy as np

        picture = (image[0] * 255).round().byte().numpy()
        views = [picture] if things == 1 else [np.asarray(half) for half in self.judge.halves(picture)]
        return self.judge.ask(self.network, views)


def _as_asked(seen: list[dict[str, str]], wanted) -> bool:
    return all(seen[thing][question] == answer for thing, question, answer in wanted)


# -- pictures ---------------------------------------------------------------------------------------------------


def example_picture(name: str, example: Example) -> Callable[[Studio], None]:
    """Without the node, and with half, the whole and twice the example's strength."""

    def make(studio: Studio) -> None:
        if not studio.works(example):
            raise SystemExit(
                f"{name}: the example no longer works with seed {example.seed}. Try --search, and put a seed that does "
                "into tools/steering_examples.py."
            )
        shown = [(0.0, studio.model)]
        shown += [(s, studio.steered(example, s)) for s in (example.strength * part for part in (0.5, 1, 2))]
        pictures = [studio.draw(model, example.prompt, example.seed) for _, model in shown]
        captions = ["without the node", *(f"strength {strength:g}" for strength, _ in shown[1:])]
        save(name, row(pictures, captions))

    return make


def scale_heads(studio: Studio) -> None:
    """One word through the heads of its concept, multiplied by several factors."""
    from hrv_pack.nodes.steer.steering import HRVScaleHeads

    vectors = studio.vectors()
    heads = vectors.select("Colours", 50.0, "most relevant", "equal")
    pictures = []
    for factor in FACTORS:
        model = HRVScaleHeads.execute(studio.model, heads, factor, words="red", **WHOLE).result[0]
        pictures.append(studio.draw(model, "a large plain red star on sand", 7))
    save("scale_heads", row(pictures, [f"factor {factor:g}".replace("-", "−") for factor in FACTORS]))


def weakening(studio: Studio) -> None:
    """Chart and strip of example workflow 12, with fewer heads."""
    from hrv_pack.hrv.steer.weakening_run import weakening as collect
    from hrv_pack.nodes.research.weakening import HRVHeadSweep
    from hrv_pack.nodes.steer.steering import HRVScaleHeads

    sweep = HRVHeadSweep.execute(studio.vectors(), "Colours", FEW, "both").result
    images = []
    for heads in sweep[0]:
        model = HRVScaleHeads.execute(studio.model, heads, -2.0, words="red", **WHOLE).result[0]
        images.append(studio.draw(model, "a large plain red star on sand", 7))
    result = collect(sweep[1], sweep[2], images=images, title="“red”, weakened by −2")
    save("head_sweep", result.strip)
    save("weakening_curve", result.chart)


def row(pictures: Sequence, captions: Sequence[str]):
    """Pictures (1, height, width, 3) beside each other, a line of text below each."""
    import numpy as np
    import torch
    from PIL import Image, ImageDraw

    from hrv_pack.hrv.draw import text
    from hrv_pack.hrv.draw.overlay import BACKGROUND, INK

    size = SIDE + GAP
    sheet = Image.new("RGB", (GAP + len(pictures) * size, SIDE + 3 * GAP + TYPE), BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        place = (GAP + number * size, GAP)
        sheet.paste(Image.fromarray((picture[0].numpy() * 255).round().astype(np.uint8)), place)
        middle = (place[0] + SIDE // 2, SIDE + 2 * GAP)
        text.write(pen, middle, caption, size=TYPE, ink=INK, room=SIDE, align="center")
    return torch.from_numpy(np.asarray(sheet).copy())[None].float() / 255


def save(name: str, image) -> None:
    import numpy as np
    from PIL import Image

    path = OUT / f"{name}.jpg"
    Image.fromarray((image[0].numpy() * 255).round().astype(np.uint8)).save(path, quality=88)
    print(f"{path.name}: {path.stat().st_size // 1024} kB", flush=True)


PICTURES: dict[str, Callable[[Studio], None]] = {
    "adjust_concept": example_picture("adjust_concept", WRONG_SENSE),
    "strengthen_concept": example_picture("strengthen_concept", LOST_WORD),
    "scale_heads": scale_heads,
    "weakening": weakening,
}

if __name__ == "__main__":
    main()
