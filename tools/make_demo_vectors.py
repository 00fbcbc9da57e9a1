"""Makes the demo checkpoint's head relevance vectors with the pack's own node, and says how far they can be trusted.

    .host/venv/bin/python tools/make_demo_vectors.py [--prompts N] [--steps N] [--out FILE] [--checkpoint FILE]
    .host/venv/bin/python tools/make_demo_vectors.py --write-prompts

Two halves of the prompts are built apart and merged; how much the halves agree on the order of heads is printed. A real
ComfyUI server runs the graph, so what is measured is what a user gets.

--write-prompts writes hrv_data/prompts/demo.txt: captions of the demo world, with a fixed seed.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))
PROMPTS = ROOT / "hrv_data" / "prompts" / "demo.txt"
TARGET = ROOT / "hrv_data" / "vectors" / "demo_checkpoint.safetensors"
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


def graph(halves: tuple[list[str], list[str]], steps: int) -> dict:
    """Loader → two builds → merge → save, as the server takes it."""
    settings = {
        "concepts": "demo", "steps": steps, "cfg": CFG, "width": SIDE, "height": SIDE, "seed": SEED, "draws": DRAWS,
        "model": ["loader", 0], "clip": ["loader", 1],
    }  # fmt: skip
    nodes = {
        "loader": ("HRVDemoCheckpoint", {}),
        "first": ("HRVBuildVectors", {**settings, "prompts": "\n".join(halves[0])}),
        "second": ("HRVBuildVectors", {**settings, "prompts": "\n".join(halves[1])}),
        "merge": ("HRVMergeVectors", {"vectors_a": ["first", 0], "vectors_b": ["second", 0]}),
        "save": ("HRVSaveVectors", {"vectors": ["merge", 0], "filename_prefix": "whole"}),
    }
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}


def make(number: int, steps: int, out: Path, checkpoint: Path | None) -> float:
    """Writes the file and returns the rank correlation of the two halves."""
    from devtools.releases import DEFAULT
    from devtools.server import ComfyServer
    from hrv.building import parse_prompts, rank_correlations
    from hrv.vector_files import read

    prompts = parse_prompts(PROMPTS.read_text(encoding="utf-8"))[:number]
    halves = prompts[::2], prompts[1::2]
    with _pack(checkpoint) as pack, ComfyServer(ROOT / ".host" / f"comfyui-{DEFAULT}", pack=pack) as server:
        start = time.monotonic()
        server.run(graph(halves, steps), timeout=7200)
        seconds = time.monotonic() - start
        folder = server.base / "models" / "hrv"
        first, second = (read(file) for file in sorted(folder.glob("built_demo_*.safetensors")))
        (whole,) = folder.glob("whole_*.safetensors")
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(whole, out)
    agreed = float(rank_correlations(first.relevance, second.relevance).mean())
    votes = int(read(out).votes.sum()) // first.heads
    print(f"{out}: {len(prompts)} prompts, {votes} votes for each of {first.heads} heads, {seconds:.0f} s")
    for concept, value in zip(
        first.concepts, rank_correlations(first.relevance, second.relevance).tolist(), strict=True
    ):
        print(f"  {concept}: {value:.3f}")
    print(f"rank correlation of the two halves, mean over concepts: {agreed:.3f}")
    return agreed


def _pack(checkpoint: Path | None):
    """The pack's folder; with other weights, a temporary copy of it that has them."""
    from devtools.server import NOT_THE_PACK

    if checkpoint is None:
        return contextlib.nullcontext(ROOT)

    @contextlib.contextmanager
    def copy():
        with tempfile.TemporaryDirectory() as folder:
            pack = Path(folder) / "pack"
            shutil.copytree(ROOT, pack, ignore=NOT_THE_PACK)
            shutil.copy(checkpoint, pack / "hrv_data" / "demo" / "demo_checkpoint.safetensors")
            yield pack

    return copy()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=NUMBER)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=Path, default=TARGET)
    parser.add_argument("--checkpoint", type=Path, help="other weights than those in hrv_data/demo")
    parser.add_argument("--write-prompts", action="store_true")
    arguments = parser.parse_args()
    if arguments.write_prompts:
        write_prompts()
        return 0
    agreed = make(arguments.prompts, arguments.steps, arguments.out, arguments.checkpoint)
    return 0 if agreed >= 0.8 else 1


if __name__ == "__main__":
    sys.exit(main())
