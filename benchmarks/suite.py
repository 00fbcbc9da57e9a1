"""What the suites of `dev.py bench` (run.py names them) share: options, ComfyUI's nodes, signs of life, figures put into a document.

options = suite.parse(suite.parser("weakening", __doc__), arguments, prompts=2)     # prompts=2: with --quick
suite.start(options.threads)                        # then `import comfy…`, `import hrv_pack…`
suite.publish("weakening", text, options)           # between the marks of that name in docs/results.md
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import bench

RESULTS = bench.ROOT / "docs" / "results.md"
CHECKPOINT = bench.ROOT / "hrv_data" / "demo" / "demo_checkpoint.safetensors"
VECTORS = bench.ROOT / "hrv_data" / "vectors"
FILES = {"votes": "demo_checkpoint.safetensors", "agreement": "demo_checkpoint_agreement.safetensors"}


def parser(name: str, description: str, writes: bool = True) -> argparse.ArgumentParser:
    """The options that every suite has. writes: whether it has figures of the demo model to write into a document."""
    made = argparse.ArgumentParser(
        f"dev.py bench --suite {name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--threads", type=int, default=0, help="CPU threads (0: torch's choice)")
    made.add_argument("--quick", action="store_true", help="shows that it runs; writes nothing")
    if writes:
        made.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
        made.add_argument("--vectors", type=Path, default=VECTORS, help="folder with its head relevance")
        made.add_argument("--no-write", action="store_true", help="print only, leave docs/ alone")
    return made


def parse(parser: argparse.ArgumentParser, arguments: list[str], **quick) -> argparse.Namespace:
    """What was asked for, and the `command` that asked so. quick: what --quick puts in the place of other options."""
    options = parser.parse_args(arguments)
    options.command = " ".join(["python3", parser.prog, *arguments])
    if options.quick:
        vars(options).update(quick, no_write=True)
    return options


def start(threads: int = 0) -> None:
    """ComfyUI in this process, with the folders and the server that its nodes expect, but none that runs."""
    import asyncio

    bench.start_host()
    import comfy.utils
    import server
    import torch

    if threads:
        torch.set_num_threads(threads)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    if getattr(server.PromptServer, "instance", None) is None:
        server.PromptServer(loop)
    comfy.utils.PROGRESS_BAR_ENABLED = False


def vector_paths(folder: Path) -> dict[str, Path]:
    """The demo model's files of head relevance, by the method that made them."""
    paths = {method: folder / name for method, name in FILES.items()}
    for path in paths.values():
        if not path.is_file():
            raise SystemExit(f"{path} is not there: tools/make_demo_vectors.py makes it.")
    return paths


def relevance(folder: Path) -> dict:
    """The demo model's head relevance, by method."""
    from hrv_pack.hrv.files import vector_files

    return {method: vector_files.read(path) for method, path in vector_paths(folder).items()}


def counter(what: str, total: int):
    """progress(done): a line every half minute, and at the end."""
    start = last = time.monotonic()

    def progress(done: int) -> None:
        nonlocal last
        if time.monotonic() - last > 30 or done >= total:
            last = time.monotonic()
            print(f"{done} of {total} {what}, {last - start:.0f} s", file=sys.stderr, flush=True)

    return progress


def publish(
    block: str,
    text: str,
    options: argparse.Namespace,
    document: Path = RESULTS,
    *,
    more: str = ".",
    drawn_by: tuple[str, Path] | None = None,
) -> None:
    """Prints figures and, unless told not to, writes them between their marks, with the command. more: ends the first line; drawn_by: what
    the model is called, and its file, where it is not the demo model."""
    print(f"\n{text}\n", flush=True)
    if options.no_write:
        return
    from safetensors import safe_open

    name, checkpoint = drawn_by or ("demo model", options.checkpoint)
    with safe_open(checkpoint, framework="pt") as file:
        steps = (file.metadata() or {}).get("training_steps", "an unknown number of")
    head = f"`{options.command}`, on the {name} after {steps} training steps{more}"
    bench.write_block(document, block, f"{head}\n\n{text}")
