"""Measures the demo checkpoint through ComfyUI and writes the figures into docs/demo_model.md.

python tools/train_demo/evaluate.py [--pictures 200] [--scenes 200] [--no-write]
"""

import argparse
import sys
import time
from pathlib import Path

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    __package__ = "train_demo"

import numpy as np
import torch

from . import daam, judge, settings
from .world import full_caption, sample_scene

CFG, STEPS = 4.5, 20
PROMPT_SEED, TWO_SEED, SCENE_SEED = 900_001, 910_001, 920_001  # never drawn from in training
DOCUMENT = settings.PACK / "docs" / "demo_model.md"


def load_checkpoint(path: Path):
    """MODEL, CLIP and VAE through the pack's own loader."""
    settings.use_comfy(cpu=True)
    sys.path.append(str(settings.PACK / "benchmarks"))
    import bench

    bench.find_pack()
    from hrv_pack.host.store import demo_checkpoint

    return demo_checkpoint.load_transformer(path) if is_transformer(path) else demo_checkpoint.load(path)


def is_transformer(path: Path) -> bool:
    return path.name == settings.DIT.name


@torch.inference_mode()
def generate(model, clip, vae, prompt: str, seed: int) -> np.ndarray:
    """uint8 (256, 256, RGB): ComfyUI's CLIPTextEncode, KSampler (euler, normal) and VAEDecode."""
    import nodes

    encode = nodes.CLIPTextEncode().encode
    latent = nodes.EmptyLatentImage().generate(256, 256, 1)[0]
    sampled = nodes.KSampler().sample(
        model, seed, STEPS, CFG, "euler", "normal", encode(clip, prompt)[0], encode(clip, "")[0], latent
    )[0]
    picture = nodes.VAEDecode().decode(vae, sampled)[0][0]
    return (picture.clamp(0, 1) * 255).round().byte().numpy()


def judged_pictures(parts, count: int, seed: int, two_objects: bool) -> tuple[dict[str, float], float]:
    """Share of answers that the judge finds right in new pictures; seconds a picture."""
    rng, referee = np.random.default_rng(seed), judge.load()
    right, start = [], time.time()
    for number in range(count):
        scene = sample_scene(rng, two_objects=float(two_objects))
        picture = generate(*parts, full_caption(scene), seed=number)
        views = judge.halves(picture) if two_objects else [picture]
        for index, said in enumerate(judge.ask(referee, list(views))):
            wanted = judge.answers_of(scene, index)
            right.append({q: said[q] == judge.QUESTIONS[q][wanted[q]] for q in judge.QUESTIONS})
    return {q: float(np.mean([r[q] for r in right])) for q in judge.QUESTIONS}, (time.time() - start) / count


def masks_met(parts, count: int) -> dict:
    """Mean IoU of DAAM of the object's word, and of the best single head, on new rendered scenes."""
    rng = np.random.default_rng(SCENE_SEED)
    results = [daam.scene_ious(daam.head_maps(*parts, sample_scene(rng), seed)) for seed in range(count)]
    mean = np.mean([r[0] for r in results], axis=0)
    single = np.mean([r[1] for r in results], axis=0).max(axis=1)
    best = int(mean.argmax())
    return {
        "thresholds": list(daam.THRESHOLDS),
        "mean_iou": mean.round(4).tolist(),
        "best_iou": float(mean[best]),
        "best_threshold": daam.THRESHOLDS[best],
        "best_head_iou": float(single.max()),
        "median_head_iou": float(np.median(single)),
        "heads": len(single),
    }


def table(figures: dict) -> str:
    """The figures as Markdown."""
    one, two, truth = figures["single"], figures["two"], figures["daam"]
    names = list(judge.QUESTIONS)
    lines = [
        f"Training steps: {figures['steps']}. {figures['seconds_a_picture']:.1f} s a picture "
        f"({STEPS} euler steps, cfg {CFG:g}, decoded; {torch.get_num_threads()} threads on a CPU).",
        "",
        "| found by the judge | " + " | ".join(names) + " |",
        "|---|" + "---|" * len(names),
    ]
    rows = [(f"{figures['pictures']} new single-object prompts", one)]
    rows += [(f"{figures['pairs']} new two-object prompts, each object", two)] if two else []
    rows += [(f"(the judge itself, 500 new {name})", values) for name, values in figures["judge"].items()]
    lines += [f"| {name} | " + " | ".join(f"{values[q]:.1%}" for q in names) + " |" for name, values in rows]
    if truth is None:
        return "\n".join(lines)
    at = dict(zip(truth["thresholds"], truth["mean_iou"]))
    lines += [
        "",
        f"| DAAM of the object's word, {figures['scenes']} new rendered scenes | mean IoU |",
        "|---|---|",
        f"| best threshold, {truth['best_threshold']} | {truth['best_iou']:.3f} |",
        *(f"| threshold {t} | {at[t]:.3f} |" for t in (0.3, 0.4, 0.5, 0.6)),
        f"| the best of {truth['heads']} single heads, at its best threshold | {truth['best_head_iou']:.3f} |",
        f"| the median head, at its best threshold | {truth['median_head_iou']:.3f} |",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, default=settings.CHECKPOINT)
    parser.add_argument("--pictures", type=int, default=200, help="single-object prompts to generate")
    parser.add_argument("--pairs", type=int, default=50, help="two-object prompts to generate")
    parser.add_argument("--scenes", type=int, default=200, help="rendered scenes for DAAM against masks")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: torch's choice)")
    parser.add_argument("--no-write", action="store_true", help="print only, leave docs/demo_model.md alone")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    from safetensors import safe_open

    parts = load_checkpoint(arguments.checkpoint)
    with safe_open(arguments.checkpoint, framework="pt") as file:
        steps = int(file.metadata()["training_steps"])
    figures = {
        "steps": steps,
        "pictures": arguments.pictures,
        "pairs": arguments.pairs,
        "scenes": arguments.scenes,
        "judge": judge.check(judge.load()),
    }
    figures["single"], seconds = judged_pictures(parts, arguments.pictures, PROMPT_SEED, False)
    figures["seconds_a_picture"] = seconds
    figures["two"] = judged_pictures(parts, arguments.pairs, TWO_SEED, True)[0] if arguments.pairs else None
    # its attention is recorded by the pack alone: dev.py bench --suite truth --part dit
    figures["daam"] = None if is_transformer(arguments.checkpoint) else masks_met(parts, arguments.scenes)
    print(table(figures))
    if not arguments.no_write:
        sys.path.append(str(settings.PACK / "benchmarks"))
        from bench import write_block

        block = "figures of the transformer" if is_transformer(arguments.checkpoint) else "figures"
        write_block(DOCUMENT, block, table(figures))


if __name__ == "__main__":
    main()
