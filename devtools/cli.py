"""The commands of dev.py."""

import argparse
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

from . import every_release, setup
from . import lint as linting
from .releases import DEFAULT, NEWEST_PAGE, OLDEST, RELEASES
from .setup import ROOT, Host
from .steps import Problem, child, say, stop_on_terminate

DESCRIPTION = f"""Sets up a real ComfyUI in .host/ beside this pack (once: minutes, about 7 GB) and runs it.

The environment variable COMFYUI_PATH names a ComfyUI that you have instead. It is used as it is, with the
Python of a venv or .venv folder in it if there is one, else with the Python that runs dev.py; nothing is
installed into it. An explicit --comfyui VERSION goes before it.

Releases for --comfyui: {", ".join(RELEASES)}."""


def main(argv: list[str]) -> int:
    """Run one command; return the exit code."""
    signal.signal(signal.SIGTERM, stop_on_terminate)
    for stream in (sys.stdout, sys.stderr):  # a console of Windows may lack some letters
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    args, rest = parse(argv)
    try:
        if getattr(args, "all_comfyui", False):
            rest = [*(every_release.ESSENTIAL if args.essential else []), *rest]
            return every_release.run_tests(rest, test_environment)
        host = find_host(args.comfyui)
        return args.command(host, args, rest)
    except Problem as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def parse(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Split the command line into ours and, for test and bench, what is passed on."""
    parser = argparse.ArgumentParser(
        "dev.py", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo_parser = commands.add_parser(
        "demo", allow_abbrev=False, help="run the main example and keep its pictures"
    )
    demo_parser.add_argument(
        "--out", type=Path, default=Path("demo_out"), help="folder for the pictures (demo_out)"
    )
    test_parser = commands.add_parser(
        "test", allow_abbrev=False, help="run the tests; further arguments go to pytest"
    )
    test_parser.add_argument(
        "--all-comfyui", action="store_true", help="on every release in turn, one line for each"
    )
    test_parser.add_argument(
        "--essential", action="store_true", help="only what touches ComfyUI's internals; for a second release"
    )
    bench_parser = commands.add_parser(
        "bench", allow_abbrev=False, help="run benchmarks/run.py, e.g. with --json FILE"
    )
    facts_parser = commands.add_parser(
        "host-facts",
        allow_abbrev=False,
        help="whether ComfyUI still has what docs/host.md says; for a new release",
    )
    lint_parser = commands.add_parser("lint", help="ruff, pyright and ESLint: the checks that run nothing")
    serve_parser = commands.add_parser(
        "serve", allow_abbrev=False, help="ComfyUI with the pack, for the browser"
    )
    serve_parser.add_argument("--port", type=int, default=8188, help="port to listen on (8188)")
    for command, subparser in (
        (demo, demo_parser),
        (test, test_parser),
        (bench, bench_parser),
        (host_facts, facts_parser),
        (lint, lint_parser),
        (serve, serve_parser),
    ):
        subparser.add_argument("--comfyui", metavar="VERSION", help=f"ComfyUI release, or oldest ({DEFAULT})")
        subparser.set_defaults(command=command)
    args, rest = parser.parse_known_args(argv)
    if rest and args.command not in (test, bench):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return args, rest


def find_host(version: str | None) -> Host:
    """The release asked for; else the checkout in COMFYUI_PATH; else the default release."""
    checkout = os.environ.get("COMFYUI_PATH")
    if version is None and checkout:
        return existing_host(Path(checkout).expanduser())
    return setup.make_host(OLDEST if version == "oldest" else version or DEFAULT)


def existing_host(comfyui: Path) -> Host:
    """The host in an existing ComfyUI folder, if what the pack needs is installed there."""
    if not (comfyui / "main.py").is_file() or not (comfyui / "comfy").is_dir():
        raise Problem(
            f"COMFYUI_PATH is {comfyui}, but there is no ComfyUI in that folder (no main.py and comfy/)."
        )
    pythons = [setup.python_of(comfyui / name) for name in ("venv", ".venv")]
    pythons.append(comfyui.parent / "python_embeded" / "python.exe")  # the portable ComfyUI for Windows
    python = next((python for python in pythons if python.exists()), Path(sys.executable))
    modules = ["torch", "aiohttp", "numpy", "safetensors", "cv2", "pytest"]
    code = f"import importlib.util as u; print(*[m for m in {modules} if not u.find_spec(m)])"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True)
    if found.returncode or found.stdout.strip():
        missing = found.stdout.strip() or found.stderr.strip()
        raise Problem(
            f"{python} cannot run ComfyUI with this pack yet; it lacks: {missing}\n"
            f"Install it with: {python} -m pip install -r {comfyui / 'requirements.txt'} "
            + " ".join(f"-r {file}" for file in setup.REQUIREMENTS)
        )
    say(f"Using the ComfyUI in {comfyui} with {python}")
    return Host(comfyui.resolve(), python)


def demo(host: Host, args: argparse.Namespace, rest: list[str]) -> int:
    return module(host, "devtools.demo", ["demo", args.out.resolve()])


def serve(host: Host, args: argparse.Namespace, rest: list[str]) -> int:
    return module(host, "devtools.demo", ["serve", args.port])


def test(host: Host, args: argparse.Namespace, rest: list[str]) -> int:
    chosen = [*(every_release.ESSENTIAL if args.essential else []), *rest]
    parallel, threads = every_release.side_by_side(host.python, chosen)
    return module(host, "pytest", [*parallel, *chosen], test_environment(host) | threads)


def host_facts(host: Host, args: argparse.Namespace, rest: list[str]) -> int:
    return module(host, "pytest", ["-q", every_release.HOST_FACTS], environment(host))


def lint(host: Host, args: argparse.Namespace, rest: list[str]) -> int:
    return linting.run(host.python)


def bench(host: Host, args: argparse.Namespace, rest: list[str]) -> int:
    script = ROOT / "benchmarks" / "run.py"
    if not script.exists():
        raise Problem(f"There are no benchmarks yet: {script} is missing.")
    return child([host.python, script, *rest], env=environment(host))


def module(host: Host, name: str, arguments: list, extra: dict[str, str] | None = None) -> int:
    command = [host.python, "-m", name, *arguments]
    return child(command, cwd=ROOT, env={**environment(host), **(extra or {})})


def environment(host: Host) -> dict[str, str]:
    return {"HRV_COMFYUI": str(host.comfyui), "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}


def test_environment(host: Host) -> dict[str, str]:
    return environment(host) | lint_environment() | page_environment(host)


def page_environment(host: Host) -> dict[str, str]:
    """Where ComfyUI's newest page is. The browser's tests run on it as well, with the default release's server; they say so
    and are skipped where it cannot be had."""
    if host.comfyui.name != f"comfyui-{DEFAULT}":
        return {"HRV_NEWEST_PAGE": ""}
    try:
        return {"HRV_NEWEST_PAGE": str(setup.make_page())}
    except Problem as problem:
        say(f"ComfyUI's newest page ({NEWEST_PAGE.version}) is not tried: {problem}")
        return {"HRV_NEWEST_PAGE": ""}


def lint_environment() -> dict[str, str]:
    """Where the registry's checker is; its test says so and is skipped where it cannot be had."""
    try:
        return {"HRV_COMFY_CLI": str(setup.make_lint())}
    except Problem as problem:
        say(f"The registry's check (comfy-cli) is not run: {problem}")
        return {}
