"""`dev.py test --all-comfyui`: the tests on each ComfyUI release in turn, one line for each.

What pytest printed and its report lie in .host/results/VERSION.log and VERSION.xml; tools/make_compatibility.py reads them.
"""

import subprocess
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import setup
from .releases import RELEASES
from .steps import Problem, child, say

RESULTS = setup.HOST / "results"
PROCESSES = 2  # each with ComfyUI, and at times a full-size network, in memory
# what touches ComfyUI's internals: `dev.py test --essential`, for a release that is not the default
ESSENTIAL = [
    *(
        f"tests/host/test_{name}.py"
        for name in (
            "server", "recording_in_server", "clip_trace", "chains", "ways_attention", "ways_sampling", "ways_models",
            "ways_layers", "negpip", "absent_prompts", "other_packs", "prompts", "typed_words", "text_encoding", "heatmap",
            "lens_node", "steering_nodes", "demo_checkpoint", "cancel", "host_facts", "token_recording", "token_schedule", "spelled_texts",
            "z_image_graph", "token_steering", "anima_graph", "as_on_a_card",
        )
    ),
    *(
        f"--deselect=tests/host/test_server.py::test_{name}"
        for name in ("example_runs", "example_has_a_preview", "the_pack_loads_quickly")
    ),
]  # fmt: skip
HOST_FACTS = "tests/host/test_host_facts.py"  # `dev.py host-facts`


@dataclass(frozen=True)
class Counts:
    """What became of the tests of one run."""

    passed: int
    failed: int
    skipped: int

    def __str__(self) -> str:
        parts = [(self.passed, "passed"), (self.failed, "failed"), (self.skipped, "skipped")]
        return ", ".join(f"{number} {word}" for number, word in parts if number) or "no tests"


def count(report: Path) -> Counts:
    """The counts in one of pytest's JUnit reports; errors in set-up and tear-down are failures."""
    suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    total = {
        key: sum(int(s.get(key, 0)) for s in suites) for key in ("tests", "failures", "errors", "skipped")
    }
    failed = total["failures"] + total["errors"]
    return Counts(total["tests"] - failed - total["skipped"], failed, total["skipped"])


def side_by_side(python: Path, arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    """What makes pytest run files in two processes, one thread each: (arguments, environment).

    Nothing where a part of the tests is asked for by name, or the environment lacks pytest-xdist."""
    named = any(not argument.startswith("-") and argument not in ESSENTIAL for argument in arguments)
    if (
        named
        or any(a.startswith("-n") for a in arguments)
        or subprocess.run([python, "-c", "import xdist"], capture_output=True).returncode
    ):
        return [], {}
    return ["-n", str(PROCESSES), "--dist", "loadfile", "--no-loadscope-reorder"], {"OMP_NUM_THREADS": "1"}


def run_tests(arguments: list[str], environment: Callable[[setup.Host], dict[str, str]]) -> int:
    """Run pytest with these arguments on every release; return 1 if any of them failed.

    A release that cannot be set up is said to be so, and the next one's turn comes.
    """
    RESULTS.mkdir(parents=True, exist_ok=True)
    worst = 0
    for version in RELEASES:
        started = time.monotonic()
        try:
            host = setup.make_host(version)
        except Problem as problem:
            say(f"ComfyUI {version:8} could not be set up: {problem}")
            worst = 1
            continue
        report, log = RESULTS / f"{version}.xml", RESULTS / f"{version}.log"
        report.unlink(missing_ok=True)
        parallel, threads = side_by_side(host.python, arguments)
        command = [host.python, "-m", "pytest", f"--junitxml={report}", *parallel, *arguments]
        with open(log, "wb") as output:
            code = child(command, cwd=setup.ROOT, env=environment(host) | threads, output=output)
        told = str(count(report)) if report.exists() else f"pytest ended with code {code}"
        hint = "" if code == 0 else f"  (see {log.relative_to(setup.ROOT)})"
        say(f"ComfyUI {version:8} {told} in {time.monotonic() - started:.0f} s{hint}")
        worst = worst or int(code != 0)
    return worst
