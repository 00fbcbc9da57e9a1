"""devtools/lint.py and release.py: what must be in order before a change lands and before a version is published."""

import shutil
from pathlib import Path

import pytest

from devtools import lint, release, setup


@pytest.mark.parametrize(("codes", "result"), [((0, 0, 0, 0), 0), ((0, 1, 0, 2), 1)])
def test_lint_runs_every_check_and_names_those_that_found_something(
    tmp_path, monkeypatch, capsys, codes, result
):
    commands, left = [], list(codes)

    def fake_child(command, cwd):
        commands.append(" ".join(map(str, command)))
        return left.pop(0)

    monkeypatch.setattr(lint.setup, "make_tools", lambda: tmp_path / "python")
    monkeypatch.setattr(lint, "make_eslint", lambda tools: tmp_path / "eslint")
    monkeypatch.setattr(lint, "child", fake_child)
    assert lint.run(Path("host-python")) == result
    for expected in ("ruff check", "ruff format --check", "-m pyright", "eslint.js"):
        assert any(expected in command for command in commands)
    said = capsys.readouterr().out.splitlines()[-1]
    assert said == ("To be put right: ruff format, eslint." if result else "All checks passed.")


def test_eslint_is_installed_once_and_again_when_its_lock_file_changes(tmp_path, monkeypatch):
    installed = []

    def fake_install(command, what):
        folder = Path(command[command.index("--prefix") + 1])
        (folder / "node_modules" / "eslint").mkdir(parents=True, exist_ok=True)
        (folder / "node_modules" / "eslint" / "package.json").touch()
        installed.append((folder / "package-lock.json").read_text("utf-8"))

    source = tmp_path / "source"
    shutil.copytree(lint.ESLINT, source)
    monkeypatch.setattr(lint, "ESLINT", source)
    monkeypatch.setattr(lint, "run_step", fake_install)
    monkeypatch.setattr(lint.setup, "HOST", tmp_path)
    monkeypatch.setattr(lint.setup, "STAMPS", tmp_path)
    for _ in range(2):
        assert lint.make_eslint(Path("python")) == (tmp_path / "eslint").resolve()
    assert len(installed) == 1
    (source / "package-lock.json").write_text("{}", "utf-8")
    lint.make_eslint(Path("python"))
    assert installed[1:] == ["{}"]


def test_a_version_is_published_only_when_everything_says_so():
    project = 'name = "hrv"\nversion = "0.2.0"\nrequires-python = ">=3.10"\n'
    changelog = "# Changelog\n\n## [0.2.0] - 2026-12-01\n\n- new\n\n## [0.1.0] - 2026-11-22\n"
    assert release.faults("v0.2.0", project, changelog) == []
    assert release.faults("v0.2.1", project, changelog) == [
        "The tag is v0.2.1, but pyproject.toml says version 0.2.0."
    ]
    for unfinished in ("## [Unreleased] (0.2.0)", "## [0.2.0]", "## [0.1.0] - 2026-11-22"):
        (fault,) = release.faults("v0.2.0", project, unfinished)
        assert "no heading “## [0.2.0] - YYYY-MM-DD”" in fault
    assert release.ROOT == setup.ROOT
