"""dev.py: which host it takes, which tests it runs, and what it says when something is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from devtools import cli, every_release, releases, server, setup, steps


def test_the_newest_page_is_for_the_default_release(tmp_path, monkeypatch, capsys):
    host = setup.Host(tmp_path / f"comfyui-{releases.DEFAULT}", Path(sys.executable))
    monkeypatch.setattr(setup, "make_page", lambda: tmp_path / "page")
    assert cli.page_environment(host) == {"HRV_NEWEST_PAGE": str(tmp_path / "page")}
    assert cli.page_environment(setup.Host(tmp_path / "mine", host.python)) == {"HRV_NEWEST_PAGE": ""}

    def no_network():
        raise steps.Problem("No network")

    monkeypatch.setattr(setup, "make_page", no_network)
    assert cli.page_environment(host) == {"HRV_NEWEST_PAGE": ""}
    assert f"newest page ({releases.NEWEST_PAGE.version}) is not tried: No network" in capsys.readouterr().out


@pytest.mark.parametrize(("required", "ended"), [(None, 0), ("required", 1)])
def test_without_chromium_the_browsers_tests_are_skipped_or_fail_where_they_must_run(required, ended):
    one = "tests/browser/test_words_page.py::test_the_way_from_a_node_to_its_prompt[a circle-links in slots]"
    surroundings = {k: v for k, v in os.environ.items() if k not in ("CHROMIUM", "HRV_BROWSER")} | {
        "PATH": "/nowhere"
    }
    surroundings |= {"HRV_BROWSER": required} if required else {}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", one]
    done = subprocess.run(command, cwd=setup.ROOT, env=surroundings, capture_output=True, text=True)
    assert done.returncode == ended, done.stdout
    assert "there is no Chromium on this computer" in done.stdout
    assert ("1 skipped" in done.stdout) == (ended == 0)


def test_arguments_for_pytest_are_passed_on_whole():
    args, rest = cli.parse(["test", "--comfyui", "0.27.0", "tests/unit", "--co", "-k", "a or b"])
    assert args.command is cli.test and args.comfyui == "0.27.0"
    assert rest == ["tests/unit", "--co", "-k", "a or b"]


def test_all_releases_can_be_asked_for():
    args, rest = cli.parse(["test", "--all-comfyui", "tests/host", "-k", "latents"])
    assert args.all_comfyui and rest == ["tests/host", "-k", "latents"]


def test_essential_tests_are_there():
    args, rest = cli.parse(["test", "--essential", "--comfyui", "0.16.3", "-q"])
    assert args.essential and rest == ["-q"]
    assert (
        every_release.HOST_FACTS in every_release.ESSENTIAL
        and (cli.ROOT / every_release.HOST_FACTS).is_file()
    )
    files = [name for name in every_release.ESSENTIAL if not name.startswith("-")]
    assert len(files) > 5 and all((setup.ROOT / file).is_file() for file in files)


def test_only_whole_suites_run_in_two_processes():
    pytest.importorskip("xdist")
    python = Path(sys.executable)
    for whole in ([], every_release.ESSENTIAL, ["--durations=9"], [*every_release.ESSENTIAL, "-q"]):
        arguments, threads = every_release.side_by_side(python, whole)
        assert arguments[:2] == ["-n", "2"] and threads == {"OMP_NUM_THREADS": "1"}
    for part in (["tests/unit/test_dev.py"], ["-k", "dev"], ["-n", "4"]):
        assert every_release.side_by_side(python, part) == ([], {})


def test_all_releases_one_line_each(tmp_path, monkeypatch, capsys):
    """A release that fails and one that cannot be set up are said to be so, and the next one's turn comes."""
    runs = []

    def make_host(version):
        if version == "0.26.0":
            raise steps.Problem("No network")
        return setup.Host(tmp_path, Path(sys.executable))

    def fake_child(command, cwd, env, output):
        runs.append(command[4:])
        failures = 1 if "0.24.1" in command[3] else 0
        report = Path(command[3].removeprefix("--junitxml="))
        suite = f'<testsuite tests="9" failures="{failures}" errors="0" skipped="2"/>'
        report.write_text(f"<testsuites>{suite}</testsuites>")
        return failures

    monkeypatch.setattr(every_release, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    monkeypatch.setattr(setup, "make_host", make_host)
    monkeypatch.setattr(every_release, "child", fake_child)
    monkeypatch.setattr(every_release, "side_by_side", lambda python, arguments: ([], {}))
    assert every_release.run_tests(["-q"], lambda host: {}) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == list(releases.RELEASES)
    said = {line.split()[1]: line for line in lines}
    assert "7 passed, 2 skipped" in said["0.30.0"]
    assert "6 passed, 1 failed, 2 skipped" in said["0.24.1"] and "0.24.1.log" in said["0.24.1"]
    assert "could not be set up: No network" in said["0.26.0"]
    assert runs == [["-q"]] * 6


def test_a_command_without_further_arguments_refuses_them(capsys):
    with pytest.raises(SystemExit):
        cli.parse(["demo", "--bogus"])
    assert "--bogus" in capsys.readouterr().err


def test_the_oldest_release_by_that_name(monkeypatch):
    monkeypatch.setattr(setup, "make_host", lambda version: version)
    assert cli.find_host("oldest") == releases.OLDEST == "0.16.3"


def test_comfyui_path_without_a_comfyui_in_it(tmp_path, monkeypatch):
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    with pytest.raises(steps.Problem, match="no ComfyUI in that folder"):
        cli.find_host(None)


def test_comfyui_path_says_what_its_python_lacks(tmp_path, monkeypatch):
    (tmp_path / "main.py").touch()
    (tmp_path / "comfy").mkdir()
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    with pytest.raises(steps.Problem, match="it lacks: torch .*\n.*pip install -r .*requirements.txt"):
        cli.find_host(None)


def test_an_old_python_can_read_the_message_for_it():
    text = (setup.ROOT / "dev.py").read_text()
    before_imports = text[: text.index("from devtools")]
    compile(before_imports, "dev.py", "exec")
    assert "f'" not in before_imports and 'f"' not in before_imports


def test_the_pack_is_copied_where_links_are_not_allowed(tmp_path, monkeypatch):
    pack = tmp_path / "pack"
    (pack / ".git").mkdir(parents=True)
    (pack / "__init__.py").touch()

    def no_links(*args, **options):
        raise OSError("privilege not held")

    monkeypatch.setattr(Path, "symlink_to", no_links)
    for _ in range(2):  # a second time replaces the first copy
        server.link_pack(pack, tmp_path / "place")
    assert [path.name for path in (tmp_path / "place").iterdir()] == ["__init__.py"]
