"""The table of Park et al. 2026 (arXiv 2604.05906) with your own checkpoint and a segmentation model's masks.

    python3 dev.py bench --suite paper_table --checkpoint sd-v1-4.safetensors

It draws every prompt with every seed (by default ten animals and ten seeds, 50 steps, 512², cfg 7.5) into a folder: a
picture (.png) and its recording (.safetensors). Then make masks of the pictures with a segmentation model of your choice:
one grey or black and white file for each picture, of the same name, in the folder's `masks`, white where the object is.
Run the same command again: it draws nothing twice, and prints mean IoU at thresholds 0.3, 0.4 and 0.5 for DAAM, the 23 % of
heads (30 of 128) most and least relevant to Animals, random heads, and Select Heads for a Word. Pictures without a mask are
counted and left out; those whose mask is empty (the object is not there) too.

    --prompts FILE      prompts of your own, one a line: `a photo of a cat | cat`, the word whose mask it is behind the bar
    --vectors NAME      a file of head relevance, or a name from Load Head Relevance; the published ones are downloaded

The paper on SD v1.4: DAAM 0.749 / 0.754 / 0.626, most relevant 0.770 / 0.777 / 0.679, least relevant 0.665 / 0.617 / 0.465. Its
prompts and its segmentation model may be others than yours, so compare the order and the distances.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

import bench
import numpy as np
import suite
import torch
import truth_iou
from PIL import Image
from studio import Studio

PROMPTS = "\n".join(
    f"a photo of {article} {animal} | {animal}"
    for article, animal in (
        ("a", "cat"), ("a", "dog"), ("a", "horse"), ("a", "cow"), ("a", "sheep"), ("a", "bird"), ("a", "bear"),
        ("a", "rabbit"), ("a", "fox"), ("an", "elephant"),
    )
)  # fmt: skip
PUBLISHED = "SD 1.x: 34 published concepts (downloads 18 kB once)"
FOLDER = bench.ROOT / ".host" / "paper_table"
SEED = 0  # of the random heads


@dataclass(frozen=True)
class Asked:
    """One picture. name: what its files are called, without their endings."""

    prompt: str
    word: str
    seed: int
    name: str


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    suite.start(options.threads)
    asked = pictures_of(options.prompts.read_text(encoding="utf-8") if options.prompts else PROMPTS, options)
    missing = [one for one in asked if not all(file.is_file() for file in files_of(options.folder, one))]
    if missing:
        draw(missing, options)
    masks = options.masks or options.folder / "masks"
    found = [one for one in asked if mask_file(masks, one) is not None]
    print(f"{len(asked)} pictures in {options.folder}, {len(found)} masks in {masks}")
    if not found:
        print(
            f"Make masks of the pictures with a segmentation model: files of the same names in {masks}, white where the object "
            "is. Then run this command again."
        )
        return
    results, empty = measure(found, masks, load_vectors(options.vectors), options)
    print(f"\n{markdown(results, empty, options)}\n")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = suite.parser("paper_table", __doc__, writes=False)
    add = parser.add_argument
    add("--checkpoint", type=Path, help="the checkpoint file; only needed while pictures are missing")
    add("--folder", type=Path, default=FOLDER, help="pictures and recordings")
    add("--masks", type=Path, help="folder of the masks (default: masks in that folder)")
    add("--prompts", type=Path, help="a text file; default: ten animals")
    add("--seeds", type=int, default=10, help="pictures of each prompt")
    add("--steps", type=int, default=50)
    add("--cfg", type=float, default=7.5)
    add("--size", type=int, default=512, help="of the pictures, in pixels")
    add("--sampler", default="ddim")
    add("--scheduler", default="ddim_uniform")
    add("--vectors", default=PUBLISHED)
    add("--concept", default="Animals")
    add("--percent", type=float, default=23.0)
    options = suite.parse(parser, arguments, seeds=1, steps=2)
    if options.quick:  # the first prompt only, in a folder of its own
        options.folder /= "quick"
    return options


def pictures_of(text: str, options: argparse.Namespace) -> list[Asked]:
    """Every prompt with the seeds 0, 1, …; a prompt without a bar is about its last word."""
    from hrv_pack.hrv.relevance.building import parse_prompts

    asked = []
    for line in parse_prompts(text)[: 1 if options.quick else None]:
        prompt, _, word = (part.strip() for part in line.partition("|"))
        word = word or prompt.split()[-1]
        plain = re.sub(r"\W+", "_", f"{prompt} {word}".lower()).strip("_")[:80]
        asked += [Asked(prompt, word, seed, f"{plain}_{seed:04}") for seed in range(options.seeds)]
    return asked


def files_of(folder: Path, one: Asked) -> tuple[Path, Path]:
    """(picture, recording)."""
    return folder / f"{one.name}.png", folder / f"{one.name}.safetensors"


def mask_file(folder: Path, one: Asked) -> Path | None:
    """The mask of a picture: its name with any ending that Pillow reads."""
    found = (folder / f"{one.name}{ending}" for ending in (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif"))
    return next((path for path in found if path.is_file()), None)


def load_checkpoint(path: Path | None):
    """(model, clip, vae) of a checkpoint file, as ComfyUI's own loader gives them."""
    if path is None or not path.is_file():
        raise SystemExit(
            "Pictures are missing. Give the checkpoint to draw them with: --checkpoint sd-v1-4.safetensors"
        )
    import comfy.sd

    return comfy.sd.load_checkpoint_guess_config(str(path), output_vae=True, output_clip=True)[:3]


def draw(asked: list[Asked], options: argparse.Namespace) -> None:
    """Draws the pictures through Record Attention and ComfyUI's own nodes, and keeps pictures and recordings."""
    from hrv_pack.hrv.files import attention_files

    studio = Studio(parts=load_checkpoint(options.checkpoint))
    options.folder.mkdir(parents=True, exist_ok=True)
    progress = suite.counter("pictures", len(asked))
    for number, one in enumerate(asked):
        model, clip, recording = studio.recorded(limit=1024)
        made = studio.sample(
            model, *studio.encode(one.prompt, "", clip=clip), studio.empty(side=options.size), one.seed,
            options.steps, options.cfg, how=(options.sampler, options.scheduler),
        )  # fmt: skip
        image, kept = files_of(options.folder, one)
        attention_files.write(kept, recording, made["samples"])
        Image.fromarray(studio.pictures(made)[0]).save(image)
        progress(number + 1)


def load_vectors(name: str):
    """A file, or a name from Load Head Relevance."""
    from hrv_pack.host.store import vector_store
    from hrv_pack.hrv.files import vector_files

    if Path(name).is_file():
        return vector_files.read(name)
    return vector_store.load(name, lambda done, total: None)


def measure(asked: list[Asked], masks: Path, vectors, options: argparse.Namespace):
    """(results, number of empty masks): the word's map by several choices of heads, against the mask of its picture."""
    from hrv_pack.hrv.files import attention_files
    from hrv_pack.hrv.relevance.heads_for_word import choose_heads
    from hrv_pack.hrv.relevance.vectors import heads_of_percent

    results, empty, concept, percent = truth_iou.Results(), 0, options.concept, options.percent
    generator = torch.Generator().manual_seed(SEED)
    for one in asked:
        mask = torch.from_numpy(np.asarray(Image.open(mask_file(masks, one)).convert("L")) >= 128)
        if not mask.any():
            empty += 1
            continue
        recording, latent = attention_files.read(files_of(options.folder, one)[1])
        (match,) = recording.match(latent)
        vectors.check(match.run.layout)
        maps, of = truth_iou.of_word(match, one.word, mask)
        total = len(maps)
        count = heads_of_percent(percent, total)
        results.add(truth_iou.NAMES["daam"], of(torch.ones(total)))
        for order in ("most relevant", "least relevant"):
            weights = vectors.select(concept, percent, order).weights
            results.add(f"{concept}, {count} heads {order}", of(weights))
        chance = truth_iou.by_chance(of, count, total, generator)
        results.add(f"random {count} heads (mean of {truth_iou.DRAWS} draws)", chance)
        results.add("Select Heads for a Word", of(choose_heads([match], one.word, percent).heads.weights))
    return results, empty


def markdown(results, empty: int, options: argparse.Namespace) -> str:
    if not results.rows:
        return f"All {empty} masks are empty: nothing can be measured."
    pictures = len(next(iter(results.rows.values())))
    left_out = f", {empty} with an empty mask left out" if empty else ""
    what = f"{options.steps} steps {options.sampler}, cfg {options.cfg:g}, {options.size}²"
    return "\n".join([f"{pictures} pictures ({what}){left_out}.", "", *truth_iou.rows_markdown(results)])
