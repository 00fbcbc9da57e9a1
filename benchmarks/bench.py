"""What every benchmark needs: ComfyUI with the pack in this process, paired timing, rows of one table.

bench.start_host()                                  # then `import rig, models`, `import comfy…`, `import hrv_pack…`
ratio = bench.paired(plain, recorded, pairs=7)      # medians of pairs that ran in turn
rows.append(ratio.row("recording", target=0.20))
"""

import importlib.util
import json
import os
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Row:
    """One figure. value: None where it could not be measured; target: the largest value that is still good, None where
    there is none."""

    name: str
    value: float | None
    unit: str = ""
    target: float | None = None
    spread: tuple[float, float] | None = None
    note: str = ""


@dataclass(frozen=True)
class Paired:
    """plain, changed: seconds of each pair, in the order in which they ran."""

    plain: list[float]
    changed: list[float]

    @property
    def ratios(self) -> list[float]:
        return [b / a for a, b in zip(self.plain, self.changed, strict=True)]

    def row(self, name: str, target: float | None, note: str = "", less: float = 0.0) -> Row:
        """Median of changed / plain, minus `less` (1: the added share), with its quartiles."""
        values = sorted(ratio - less for ratio in self.ratios)
        quarter = len(values) // 4
        spread = (values[quarter], values[-1 - quarter])
        seconds = f"{statistics.median(self.plain):.3g} s → {statistics.median(self.changed):.3g} s"
        text = "; ".join(part for part in (f"{len(values)} pairs, {seconds}", note) if part)
        return Row(name, statistics.median(values), "×", target, spread, text)


def paired(plain: Callable, changed: Callable, pairs: int) -> Paired:
    """Time both in turn, the order changing from pair to pair, after one run of each that does not count."""
    first, second = [], []
    plain(), changed()
    for number in range(pairs):
        for run, times in ((plain, first), (changed, second))[:: 1 if number % 2 else -1]:
            times.append(seconds(run))
    return Paired(first, second)


def seconds(run: Callable) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def peak_bytes(run: Callable) -> int:
    """Largest number of bytes that tensors on the CPU, made while it runs, take at once, as PyTorch's allocator counts."""
    import torch

    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        run()
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


def resident() -> int:
    """Bytes of memory that this process takes now, of all kinds."""
    import psutil

    return psutil.Process().memory_info().rss


def resident_peak() -> int:
    """The most that it has taken since it started. In a fresh process this is what work takes that is large beside imports."""
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    if sys.platform == "linux":  # whose getrusage counts what the parent took, too
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def median_ms(run: Callable, times: int) -> float:
    run()
    return 1000 * statistics.median(seconds(run) for _ in range(times))


def encode(clip, text: str) -> list:
    """What CLIPTextEncode gives."""
    import torch

    with torch.inference_mode():
        return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def find_pack() -> None:
    """Make the pack (as `hrv_pack`) and the tests' rig (`rig`, `models`, `synthetic`) importable."""
    if "hrv_pack" not in sys.modules:
        sys.path[:0] = [str(ROOT / "tests" / "host"), str(ROOT / "tests" / "unit")]
        sys.path.append(str(ROOT))
        _load("hrv_conftest", ROOT / "tests" / "conftest.py")


def start_host(gpu: bool = False) -> None:
    """Make ComfyUI importable as well. gpu: let it use one. Only the first call decides."""
    if "comfy" in sys.modules:  # this function was here before, or a test is
        return
    find_pack()
    os.environ["HRV_DEVICE"] = "gpu" if gpu else "cpu"
    _load("hrv_host_conftest", ROOT / "tests" / "host" / "conftest.py")


def _load(name: str, path: Path) -> None:
    spec = importlib.util.spec_from_file_location(name, path)
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])


def markdown(columns: str, rows: Iterable[Sequence]) -> str:
    """A table as Markdown. columns: "one | two"; rows: their cells."""
    lines = [columns, *(" | ".join(map(str, row)) for row in rows)]
    lines.insert(1, "|".join(["---"] * (columns.count("|") + 1)))
    return "\n".join(f"|{line}|" if number == 1 else f"| {line} |" for number, line in enumerate(lines))


def table(rows: list[Row]) -> str:
    """All rows as Markdown."""
    cells = []
    for row in rows:
        unit = f" {row.unit}" if row.unit and row.unit != "×" else ""
        target = "" if row.target is None else f"≤ {row.target:g}{unit}"
        spread = f"{row.spread[0]:.3g} – {row.spread[1]:.3g}" if row.spread else ""
        cells.append((row.name, _shown(row, unit), target, spread, row.note))
    return markdown("what | measured | target | spread | how", cells)


def tell(machine: str, rows: list[Row], file: Path | None) -> None:
    """Prints all rows, and writes them into a file as JSON if there is one."""
    print(f"\n{machine}\n\n{table(rows)}")
    if file:
        report = {"machine": machine, "rows": [asdict(row) for row in rows]}
        file.write_text(json.dumps(report, indent=1))


def _shown(row: Row, unit: str) -> str:
    """The figure, and whether it meets its target as it stands there."""
    if row.value is None:
        return "not measured"
    text = f"{row.value:.3g}"
    if row.target is None:
        return text + unit
    return f"{text}{unit} {'✓' if float(text) <= row.target else '✗'}"


def write_block(document: Path, name: str, text: str) -> None:
    """Puts a text between the marks of this name in a document, in place of what was there."""
    marks = rf"(<!-- {re.escape(name)}: written by [^\n]*-->\n).*?(\n<!-- end of {re.escape(name)} -->)"
    old = document.read_text(encoding="utf-8")
    new, found = re.subn(marks, lambda mark: mark[1] + text + mark[2], old, flags=re.DOTALL)
    if not found:
        raise SystemExit(f"{document} has no marks for {name}.")
    document.write_text(new, encoding="utf-8")
