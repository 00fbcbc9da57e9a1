"""Masks at the edges of the image (`refine` of Attention Heatmap) against exact ones, where the image helps and where it does not.

    python3 dev.py bench --suite refine --scenes 100 --photographs FOLDER      writes docs/results.md

The heat is real: scenes are redrawn as in the suite truth, and their maps are cut on several images with the same masks: the scene
as rendered, and painted again with rough textures or with hardly any contrast. Photographs (NAME.png beside NAME.mask.png, no part
of the project) have no recording; their heat is made from their mask: 32 cells a side, blurred, uneven, with stains elsewhere.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import bench
import suite

SEED, TUNING_SEED = 940_001, 930_001  # training draws from neither; the second was tuned on
THRESHOLD = 0.4
WORSE = 0.1
PAINTED = {  # contrast, roughness, both in 255ths
    "rough textures, strong contrast (70, 22)": (70, 22),
    "smooth, weak contrast (28, 5)": (28, 5),
    "smooth, hardly any contrast (12, 5)": (12, 5),
    "rough textures, weak contrast (28, 22)": (28, 22),
    "camouflage: textures of one colour (0, 22)": (0, 22),
}
HEATS = {"daam": "all heads", "auto": "Select Heads for a Word"}


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = suite.parser("refine", __doc__)
    parser.add_argument("--scenes", type=int, default=25)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--photographs", type=Path, help="folder of NAME.png and NAME.mask.png")
    options = suite.parse(parser, arguments, scenes=2)
    if options.seed == TUNING_SEED:
        parser.error(f"seed {TUNING_SEED} is the one that was tuned on; report on another")
    return options


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    suite.start(options.threads)
    rows = _of_scenes(options)
    if options.photographs:
        rows.update(_of_photographs(options.photographs))
    columns = "image | heat | masks | plain | refined | guided filter | left plain | worse by 0.1"
    options.command = options.command.replace(str(options.photographs), "FOLDER")
    suite.publish("refine", bench.markdown(columns, [_line(*key, rows[key]) for key in rows]), options)


def _of_scenes(options: argparse.Namespace) -> dict[tuple[str, str], list]:
    import numpy as np
    import torch
    import truth_iou
    import truth_scenes

    from hrv_pack.hrv.relevance.heads_for_word import choose_heads
    from hrv_pack.tools.train_demo.draw import render

    studio, rows = truth_scenes.Studio(options.checkpoint), {}
    rng, progress = np.random.default_rng(options.seed), suite.counter("scenes", options.scenes)
    for number, scene in enumerate(truth_scenes.scenes(options.scenes, options.seed)):
        picture, masks = render(scene)
        images = {"the rendered scene": picture}
        images.update({name: painted(rng, masks, *how) for name, how in PAINTED.items()})
        for seen in studio.redraw(scene, options.seed + number):
            maps, _ = truth_iou.of_word(seen.match, seen.word, seen.mask)
            weights = choose_heads([seen.match], seen.word, truth_iou.PERCENT).heads.weights
            heats = {"daam": maps.mean(0), "auto": torch.einsum("n,nhw->hw", weights, maps)}
            for image, one in images.items():
                for heat, map in heats.items():
                    rows.setdefault((image, HEATS[heat]), []).append(_measured(map, one, seen.mask))
        progress(number + 1)
    return rows


def _of_photographs(folder: Path) -> dict[tuple[str, str], list]:
    import numpy as np
    import torch
    from PIL import Image

    rows, rng = {}, np.random.default_rng(7)
    for path in sorted(folder.glob("*.mask.png")):
        mask = np.asarray(Image.open(path).convert("L")) > 127
        image = np.asarray(Image.open(path.with_name(path.name.replace(".mask", ""))).convert("RGB"))
        for name, how in {"made from the mask, fair": (0.035, 0.35), "poor": (0.05, 0.6)}.items():
            for _ in range(3):
                heat = made_heat(rng, mask, *how)
                rows.setdefault(("photographs and drawings", name), []).append(
                    _measured(torch.from_numpy(heat), image, torch.from_numpy(mask))
                )
    return rows


def _measured(map, image, truth) -> tuple[float, float, float, bool]:
    """IoU of the plain mask, of the refined one, of a guided filter's, and whether the plain mask was kept."""
    import torch

    from hrv_pack.hrv.maps.bicubic import resize
    from hrv_pack.hrv.maps.normalize import low_and_span
    from hrv_pack.hrv.maps.refine import refined_mask

    large = resize(map[None].float(), tuple(truth.shape))
    low, span = low_and_span(large)
    heat = ((large - low) / span)[0]
    plain, picture = heat >= THRESHOLD, torch.from_numpy(image.copy()).float() / 255
    found = refined_mask(heat, picture, THRESHOLD)
    refined = plain if found is None else found > 0
    return *(_iou(one, truth) for one in (plain, refined, guided(heat, picture))), found is None


def _iou(one, other) -> float:
    return float((one & other).sum() / (one | other).sum().clamp(min=1))


def guided(heat, picture, radius: float = 0.03, smooth: float = 1e-3):
    """The mask of a guided filter (He, Sun and Tang 2010) of the heat by the picture's brightness: what was tried beside GrabCut."""
    import cv2
    import torch

    gray, hot = cv2.cvtColor(picture.numpy(), cv2.COLOR_RGB2GRAY), heat.numpy()
    side = 2 * round(radius * max(gray.shape)) + 1

    def mean(x):
        return cv2.blur(x, (side, side))

    slope = (mean(gray * hot) - mean(gray) * mean(hot)) / (mean(gray * gray) - mean(gray) ** 2 + smooth)
    found = mean(slope) * gray + mean(mean(hot) - slope * mean(gray))
    return torch.from_numpy((found - found.min()) / (found.max() - found.min()) >= THRESHOLD)


def painted(rng, masks, contrast: float, roughness: float):
    """A picture of these masks in random colours, background and things with noise of several sizes: uint8 (height, width, RGB)."""
    import cv2
    import numpy as np

    height, width = masks[0].shape

    def noise(cells):
        grids = [rng.normal(0, 1, (max(2, height // c), max(2, width // c), 3)) for c in cells]
        wide = [
            cv2.resize(g.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC) for g in grids
        ]
        return roughness * sum(wide)

    base = rng.uniform(70, 185, 3)
    image = base + noise((40, 12, 4))
    for mask in masks:
        apart = rng.normal(0, 1, 3)
        thing = base + contrast * apart / np.linalg.norm(apart) + noise((30, 10, 3))
        image += cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.8)[..., None] * (thing - image)
    return np.clip(image, 0, 255).astype(np.uint8)


def made_heat(rng, mask, blur: float, uneven: float, cells: int = 32, stains: float = 0.12):
    """Heat as a recording might have it, from a mask: float32, `cells` on the longer side."""
    import cv2
    import numpy as np

    height, width = mask.shape
    wide, high = (max(4, round(side * cells / max(mask.shape))) for side in (width, height))
    heat = cv2.resize(mask.astype(np.float32), (wide, high), interpolation=cv2.INTER_AREA)
    heat = cv2.GaussianBlur(heat, (0, 0), max(0.7, blur * cells))

    def slow(count):
        grid = rng.normal(0, 1, (count, count)).astype(np.float32)
        return cv2.resize(grid, (wide, high), interpolation=cv2.INTER_CUBIC)

    top = heat.max()
    made = heat * np.exp(uneven * slow(5)) + stains * top * np.abs(slow(7))
    return np.clip(made + 0.03 * top * rng.normal(0, 1, heat.shape), 0, None).astype(np.float32)


def _line(image: str, heat: str, values: list) -> tuple:
    import numpy as np

    found = np.array([value[:3] for value in values])
    worse = float((found[:, 1] < found[:, 0] - WORSE).mean())
    left = float(np.mean([value[3] for value in values]))
    return (image, heat, len(values), *(f"{x:.3f}" for x in found.mean(0)), f"{left:.0%}", f"{worse:.0%}")
