"""What the makers of the help pages' pictures share: the demo model, pictures in a row, the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tools")]

import bench  # noqa: E402

bench.find_pack()
import numpy as np  # noqa: E402
import suite  # noqa: E402
import torch  # noqa: E402
from examples import SIDE, STEPS  # noqa: E402
from PIL import Image, ImageDraw  # noqa: E402
from studio import Studio, to_bytes  # noqa: E402

OUT = ROOT / "js" / "docs"
GAP, TYPE = 12, 20


class Painter(Studio):
    """The demo model with its traced CLIP, and its head relevance by method."""

    def __init__(self):
        from hrv_pack.host.text.clip_trace import TextRegistry, trace

        super().__init__()
        self.clip = trace(self.clip, TextRegistry())
        self.vectors = suite.relevance(suite.VECTORS)

    def latent(self, model, prompts: Sequence, seed: int) -> dict:
        """What KSampler gives. prompts: the positive one and the negative one."""
        return self.sample(model, *prompts, self.empty(), seed, STEPS)

    def draw(self, model, prompt: str, seed: int):
        """float32 (1, height, width, 3)."""
        return self.decode(self.latent(model, self.encode(prompt, ""), seed))

    def look(self, image, things: int = 1) -> tuple[dict[str, str], ...]:
        """What the judge says of each thing of a picture."""
        return self.seen(to_bytes(image), things)[0]


def row(pictures: Sequence, captions: Sequence[str]):
    """Pictures (1, height, width, 3) beside each other, a line of text below each."""
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
    path = OUT / f"{name}.jpg"
    Image.fromarray((image[0].numpy() * 255).round().astype(np.uint8)).save(path, quality=88)
    print(f"{path.name}: {path.stat().st_size // 1024} kB", flush=True)


def main(description: str, pictures: dict[str, Callable], kind=Painter, examples=None, works=None) -> None:
    """pictures: name → makes it, given a painter of this kind. examples: of some names; works: whether one is to be shown."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="some of the pictures; all without")
    if examples:
        parser.add_argument("--search", action="store_true", help="print seeds that work, make nothing")
        parser.add_argument("--seeds", type=int, default=20, help="how many seeds to try")
    options = parser.parse_args()
    unknown = set(options.names) - set(pictures)
    if unknown:
        parser.error(f"no picture “{min(unknown)}”; there are {', '.join(pictures)}")
    suite.start()
    painter = kind()
    for name in options.names or pictures:
        example = (examples or {}).get(name)
        if examples and options.search:
            if example:
                found = [s for s in range(options.seeds) if works(painter, replace(example, seed=s))]
                print(f"{name}: {len(found)} of {options.seeds} seeds work: {found}", flush=True)
            continue
        if example and not works(painter, example):
            raise SystemExit(
                f"{name}: the example no longer works with seed {example.seed}. Try --search, and put a seed that does into "
                "tools/examples.py."
            )
        pictures[name](painter)
