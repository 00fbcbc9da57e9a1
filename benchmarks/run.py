"""Measures how fast and how good the pack is: `python3 dev.py bench [--suite NAME] [--json FILE]`.

    dev.py bench                       speed: everything below in one table with its targets
    dev.py bench --only recording      some of it
    dev.py bench --write               puts each part's table into docs/performance.md as well
    dev.py bench --quick               fewer repeats, to see that it runs
    dev.py bench --suite truth …       heatmaps against exactly known masks (benchmarks/truth.py --help)
    dev.py bench --suite paper_table … the same with your own checkpoint and masks (benchmarks/paper_table.py --help)

Times are medians of pairs that run in turn in this process, so that a ratio means something on a busy machine too.
"""

import argparse
import importlib
import os
import platform
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import bench  # noqa: E402

PARTS = (
    "recording",
    "joint",
    "accuracy",
    "memory",
    "keeping",
    "runs",
    "answers",
    "words",
    "heatmap",
    "growth",
    "startup",
    "voting",
    "steering",
    "excite",
    "gpu",
)
DOCUMENT = bench.ROOT / "docs" / "performance.md"
SUITES = (
    "truth",
    "truth_concepts",
    "editing",
    "report",
    "weakening",
    "mending",
    "effect",
    "refine",
    "xray",
    "asked",
    "paper_table",
)  # each has its own options


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--suite", choices=("speed", *SUITES), default="speed")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts of the suite speed")
    parser.add_argument("--quick", action="store_true", help="few repeats: shows that it runs, not how fast")
    parser.add_argument(
        "--write", action="store_true", help=f"put the tables into {DOCUMENT.name} (suite speed)"
    )
    parser.add_argument("--json", type=Path, help="write all rows here as well")
    suite, options = suite_of(sys.argv[1:])
    if suite in SUITES:
        bench.find_pack()
        importlib.import_module(suite).main(options)
        return 0
    arguments = parser.parse_args()
    bench.start_host()
    machine = machine_name()
    rows: list[bench.Row] = []
    for part in arguments.only:
        started = time.monotonic()
        measured = importlib.import_module(part).measure(arguments.quick)
        print(
            f"{part}: {time.monotonic() - started:.0f} s\n{bench.table(measured)}",
            file=sys.stderr,
            flush=True,
        )
        rows += measured
        if arguments.write:
            command = (
                f"`python3 dev.py bench --only {part}{' --quick' if arguments.quick else ''}`, {machine}"
            )
            bench.write_block(DOCUMENT, part, f"{command}\n\n{bench.table(measured)}")
    bench.tell(machine, rows, arguments.json)
    return 0


def suite_of(arguments: list[str]) -> tuple[str, list[str]]:
    """The suite that is asked for, and what is left for it to read."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--suite", default="speed")
    chosen, rest = parser.parse_known_args(arguments)
    return chosen.suite, rest


def machine_name() -> str:
    """Processor, number of cores that are used, torch."""
    import torch

    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        name = found.group(1) if found else name
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{name} ({capability}), {torch.get_num_threads()} of {os.cpu_count()} cores, torch {torch.__version__}"


if __name__ == "__main__":
    sys.exit(main())
