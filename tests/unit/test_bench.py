"""benchmarks/bench.py: the table, pairs, the peak of memory, and blocks in a document."""

import importlib
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "benchmarks"))

import bench  # noqa: E402
import run  # noqa: E402

SUITE_COMMAND = re.compile(r"dev\.py bench (--suite .*?)(?:`|\n|  )")


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        (bench.Row("a", 0.1999, "×", 0.2), "| a | 0.2 ✓ | ≤ 0.2 |  |  |"),
        (bench.Row("a", 0.206, "×", 0.2, (0.19, 0.21), "9 pairs"), "| a | 0.206 ✗ | ≤ 0.2 | 0.19 – 0.21 | 9 pairs |"),
        (bench.Row("a", 12.0, "ms"), "| a | 12 ms |  |  |  |"),
        (bench.Row("a", None, "×", 1.03, note="no GPU"), "| a | not measured | ≤ 1.03 |  | no GPU |"),
    ],
)  # fmt: skip
def test_rows(row, shown):
    assert bench.table([row]).splitlines()[2] == shown


def test_pairs_take_turns_after_one_run_that_does_not_count(monkeypatch):
    order, clock = [], iter(range(100))
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(clock))
    found = bench.paired(lambda: order.append("a"), lambda: order.append("b"), 3)
    assert "".join(order) == "ab" + "baabba"
    assert found.ratios == [1, 1, 1] and found.row("x", None, less=1.0).value == 0


def test_peak_is_the_largest_sum_of_what_lives_at_once():
    kept = []

    def run():
        first = torch.zeros(1000, 1000)  # 4 MB
        kept.append(first + 1)  # 8 MB
        del first
        torch.empty(500, 1000)  # 6 MB

    assert bench.peak_bytes(run) == pytest.approx(8e6, rel=1e-4)  # and a scalar or two


def test_blocks_are_replaced_and_the_rest_stays(tmp_path):
    file = tmp_path / "a.md"
    file.write_text(
        "before\n<!-- x: written by dev.py bench --write -->\nold\n<!-- end of x -->\nafter\n",
        encoding="utf-8",
    )
    for text in ("one", "two\nlines"):
        bench.write_block(file, "x", text)
        assert file.read_text(encoding="utf-8") == (
            f"before\n<!-- x: written by dev.py bench --write -->\n{text}\n<!-- end of x -->\nafter\n"
        )
    with pytest.raises(SystemExit, match="no marks for y"):
        bench.write_block(file, "y", "text")


def test_every_part_has_its_block_in_the_document():
    import run

    text = run.DOCUMENT.read_text(encoding="utf-8")
    for part in run.PARTS:
        assert (
            f"<!-- {part}: written by dev.py bench --write -->" in text and f"<!-- end of {part} -->" in text
        )
        assert (ROOT / "benchmarks" / f"{part}.py").is_file()


def documented_commands():
    for file in (
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("js/docs/*.md"),
        ROOT / "README.md",
        *ROOT.glob("benchmarks/*.py"),
    ):
        for found in SUITE_COMMAND.findall(file.read_text(encoding="utf-8")):
            if "…" not in found and '"' not in found:
                yield found


@pytest.mark.parametrize("command", sorted(set(documented_commands())))
def test_commands_in_documents_are_understood(command):
    suite, options = run.suite_of(shlex.split(command))
    assert suite in run.SUITES
    importlib.import_module(suite).parse(options)


def test_options_of_a_suite_reach_it_though_the_suite_speed_has_one_of_the_same_name():
    commands = set(documented_commands())
    assert len(commands) > 10 and any("--only votes" in command for command in commands)
    assert run.suite_of(["--suite", "mending", "--only", "votes", "--json", "f"]) == (
        "mending",
        ["--only", "votes", "--json", "f"],
    )
    assert run.suite_of(["--only", "gpu", "--quick"]) == ("speed", ["--only", "gpu", "--quick"])
