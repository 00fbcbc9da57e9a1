"""Makes the demo checkpoint's head relevance vectors with the pack's own node, and says how far they can be trusted.

    .host/venv/bin/python tools/make_demo_vectors.py [--prompts N] [--steps N]
    .host/venv/bin/python tools/make_demo_vectors.py --methods agreement
    .host/venv/bin/python tools/make_demo_vectors.py --write-prompts

One file by votes (demo_checkpoint.safetensors) and one by agreement (demo_checkpoint_agreement.safetensors). For each, two
halves of the prompts are built apart and merged; how much the halves agree on the order of heads is printed. A real ComfyUI
server runs the graph, so what is measured is what a user gets.

--write-prompts writes hrv_data/prompts/demo.txt: captions of the demo world, with a fixed seed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))
PROMPTS = ROOT / "hrv_data" / "prompts" / "demo.txt"
FOLDER = ROOT / "hrv_data" / "vectors"
NAMES = {"votes": "demo_checkpoint.safetensors", "agreement": "demo_checkpoint_agreement.safetensors"}
NUMBER, STEPS, DRAWS, CFG, SIDE, SEED = 160, 10, 4, 5.0, 256, 1
LISTED = 240
HEAD = (
    "# Captions of the demo checkpoint's drawn world, made by tools/make_demo_vectors.py --write-prompts.\n"
)


def write_prompts() -> None:
    """Different captions with the world's own generator."""
    import numpy as np

    from tools.train_demo import world

    rng = np.random.default_rng(2026)
    captions: dict[str, None] = {}
    while len(captions) < LISTED:
        captions[world.caption(world.sample_scene(rng), rng, empty=0)] = None
    PROMPTS.write_text(HEAD + "\n".join(captions) + "\n", encoding="utf-8")
    print(f"{PROMPTS}: {len(captions)} prompts")


def graph(halves: tuple[list[str], list[str]], steps: int, method: str) -> dict:
    """Loader → two builds → merge → save, as the server takes it."""
    settings = {
        "concepts": "demo", "steps": steps, "cfg": CFG, "width": SIDE, "height": SIDE, "seed": SEED, "draws": DRAWS,
        "model": ["loader", 0], "clip": ["loader", 1], "method": method,
    }  # fmt: skip
    nodes = {
        "loader": ("HRVDemoCheckpoint", {}),
        "first": ("HRVBuildVectors", {**settings, "prompts": "\n".join(halves[0])}),
        "second": ("HRVBuildVectors", {**settings, "prompts": "\n".join(halves[1])}),
        "merge": ("HRVMergeVectors", {"vectors_a": ["first", 0], "vectors_b": ["second", 0]}),
        "save": ("HRVSaveVectors", {"vectors": ["merge", 0], "filename_prefix": f"whole_{method}"}),
    }
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}


def make(methods: list[str], number: int, steps: int) -> float:
    """Writes a file for each method into FOLDER; returns the smallest rank correlation of two halves."""
    from devtools.releases import DEFAULT
    from devtools.server import ComfyServer
    from hrv.relevance.building import parse_prompts

    prompts = parse_prompts(PROMPTS.read_text(encoding="utf-8"))[:number]
    halves, agreed = (prompts[::2], prompts[1::2]), []
    with ComfyServer(ROOT / ".host" / f"comfyui-{DEFAULT}") as server:
        folder = server.base / "models" / "hrv"
        for method in methods:
            start = time.monotonic()
            server.run(graph(halves, steps, method), timeout=7200)
            seconds = time.monotonic() - start
            own = "_agreement" if method == "agreement" else ""
            parts = sorted(folder.glob(f"built_demo{own}_[0-9a-f]*.safetensors"))
            (whole,) = folder.glob(f"whole_{method}_*.safetensors")
            shutil.copy(whole, FOLDER / NAMES[method])
            print(f"{FOLDER / NAMES[method]}: {len(prompts)} prompts in two halves, {seconds:.0f} s")
            agreed.append(_tell(whole, parts))
    return min(agreed)


def _tell(whole: Path, parts: list[Path]) -> float:
    from hrv.files.vector_files import read
    from hrv.relevance.building import rank_correlations
    from hrv.relevance.summary import vectors_in_words

    first, second = (read(file) for file in parts)
    print("\n".join(f"  {line}" for line in vectors_in_words(read(whole)).splitlines()))
    values = rank_correlations(first.relevance, second.relevance).tolist()
    for concept, value in zip(first.concepts, values, strict=True):
        print(f"  {concept}: {value:.3f}")
    mean = sum(values) / len(values)
    print(f"  rank correlation of the two halves, mean over concepts: {mean:.3f}", flush=True)
    return mean


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=NUMBER)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--methods", nargs="+", choices=list(NAMES), default=list(NAMES))
    parser.add_argument("--write-prompts", action="store_true")
    arguments = parser.parse_args()
    if arguments.write_prompts:
        write_prompts()
        return 0
    agreed = make(arguments.methods, arguments.prompts, arguments.steps)
    return 0 if agreed >= 0.8 else 1


if __name__ == "__main__":
    sys.exit(main())
