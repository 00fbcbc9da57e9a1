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
import sys
from dataclasses import dataclass
from pathlib import Path

import bench

PROMPTS = "\n".join(
    f"a photo of {article} {animal} | {animal}"
    for article, animal in (
        ("a", "cat"), ("a", "dog"), ("a", "horse"), ("a", "cow"), ("a", "sheep"), ("a", "bird"), ("a", "bear"),
        ("a", "rabbit"), ("a", "fox"), ("an", "elephant"),
    )
)  # fmt: skip
PUBLISHED = "SD 1.x: 34 published concepts (downloads 18 kB once)"
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
    bench.start_host()
    import torch
    import truth

    truth.start_nodes()
    asked = pictures_of(options.prompts.read_text(encoding="utf-8") if options.prompts else PROMPTS, options)
    if options.threads:
        torch.set_num_threads(options.threads)
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
    vectors = load_vectors(options.vectors)
    results, empty = measure(found, options.folder, masks, vectors, options.concept, options.percent)
    print(f"\n{markdown(results, empty, options)}\n")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dev.py bench --suite paper_table",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--checkpoint", type=Path, help="the checkpoint file; only needed while pictures are missing"
    )
    parser.add_argument(
        "--folder", type=Path, default=bench.ROOT / ".host" / "paper_table", help="pictures and recordings"
    )
    parser.add_argument("--masks", type=Path, help="folder of the masks (default: masks in that folder)")
    parser.add_argument("--prompts", type=Path, help="a text file; default: ten animals")
    parser.add_argument("--seeds", type=int, default=10, help="pictures of each prompt")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--cfg", type=float, default=7.5)
    parser.add_argument("--size", type=int, default=512, help="of the pictures, in pixels")
    parser.add_argument("--sampler", default="ddim")
    parser.add_argument("--scheduler", default="ddim_uniform")
    parser.add_argument("--vectors", default=PUBLISHED)
    parser.add_argument("--concept", default="Animals")
    parser.add_argument("--percent", type=float, default=23.0)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: torch's choice)")
    parser.add_argument(
        "--quick", action="store_true", help="the first prompt, one seed, two steps: shows that it runs"
    )
    options = parser.parse_args(arguments)
    if options.quick:
        options.seeds, options.steps, options.folder = 1, 2, options.folder / "quick"
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
    import nodes
    import torch
    import truth
    from PIL import Image

    from hrv_pack.hrv.files import attention_files
    from hrv_pack.nodes.look.record import HRVRecordAttention

    model, clip, vae = load_checkpoint(options.checkpoint)
    options.folder.mkdir(parents=True, exist_ok=True)
    progress = truth.counter("pictures", len(asked))
    with torch.inference_mode():
        for number, one in enumerate(asked):
            recorded, traced, recording = HRVRecordAttention.execute(
                model=model,
                clip=clip,
                start_percent=0.0,
                end_percent=1.0,
                time_bins=1,
                negative=False,
                memory_limit_mb=1024,
            ).result
            positive, negative = (nodes.CLIPTextEncode().encode(traced, text)[0] for text in (one.prompt, ""))
            latent = {"samples": torch.zeros(1, 4, options.size // 8, options.size // 8)}
            (sampled,) = nodes.KSampler().sample(
                recorded,
                one.seed,
                options.steps,
                options.cfg,
                options.sampler,
                options.scheduler,
                positive,
                negative,
                latent,
            )
            (picture,) = nodes.VAEDecode().decode(vae, sampled)
            image, kept = files_of(options.folder, one)
            attention_files.write(kept, recording, sampled["samples"])
            Image.fromarray((picture[0].clamp(0, 1) * 255).round().byte().numpy()).save(image)
            progress(number + 1)


def load_vectors(name: str):
    """A file, or a name from Load Head Relevance."""
    from hrv_pack.host.store import vector_store
    from hrv_pack.hrv.files import vector_files

    if Path(name).is_file():
        return vector_files.read(name)
    return vector_store.load(name, lambda done, total: None)


def measure(asked: list[Asked], folder: Path, masks: Path, vectors, concept: str, percent: float):
    """(results, number of empty masks): the word's map by several choices of heads, against the mask of its picture."""
    import numpy as np
    import torch
    import truth_iou
    import truth_scenes
    from PIL import Image

    from hrv_pack.hrv.files import attention_files
    from hrv_pack.hrv.maps.head_maps import head_maps
    from hrv_pack.hrv.maps.lookup import find_word
    from hrv_pack.hrv.relevance.heads_for_word import choose_heads
    from hrv_pack.hrv.relevance.vectors import heads_of_percent

    results, empty = truth_iou.Results(), 0
    generator = torch.Generator().manual_seed(SEED)
    for one in asked:
        mask = torch.from_numpy(np.asarray(Image.open(mask_file(masks, one)).convert("L")) >= 128)
        if not mask.any():
            empty += 1
            continue
        recording, latent = attention_files.read(files_of(folder, one)[1])
        (match,) = recording.match(latent)
        vectors.check(match.run.layout)
        entries = match.run.of_role("positive")
        maps = head_maps(match, find_word(one.word, entries, [entry.prompt for entry in entries])).maps

        def of(weights, maps=maps, mask=mask):
            heat = (weights @ maps.flatten(1) / weights.sum()).view(maps.shape[1:])
            return truth_scenes.iou(heat, mask)

        count = heads_of_percent(percent, len(maps))
        results.add(truth_iou.NAMES["daam"], of(torch.ones(len(maps))))
        for order in ("most relevant", "least relevant"):
            results.add(
                f"{concept}, {count} heads {order}", of(vectors.select(concept, percent, order).weights)
            )
        draws = [torch.zeros(len(maps)).index_fill(0, torch.randperm(len(maps), generator=generator)[:count], 1.0)
                 for _ in range(truth_iou.DRAWS)]  # fmt: skip
        results.add(
            f"random {count} heads (mean of {truth_iou.DRAWS} draws)",
            np.mean([of(w) for w in draws], axis=0).tolist(),
        )
        results.add("Select Heads for a Word", of(choose_heads([match], one.word, percent).heads.weights))
    return results, empty


def markdown(results, empty: int, options: argparse.Namespace) -> str:
    import truth_iou

    if not results.rows:
        return f"All {empty} masks are empty: nothing can be measured."
    pictures = len(next(iter(results.rows.values())))
    left_out = f", {empty} with an empty mask left out" if empty else ""
    what = f"{options.steps} steps {options.sampler}, cfg {options.cfg:g}, {options.size}²"
    return "\n".join([f"{pictures} pictures ({what}){left_out}.", "", *truth_iou.rows_markdown(results)])


if __name__ == "__main__":
    main(sys.argv[1:])
