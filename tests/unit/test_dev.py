"""dev.py: what it checks before it trusts, and what it says when something is missing."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from devtools import cli, every_release, lint, release, releases, server, setup, steps


def make_archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("pkg-1.0/vendor/ComfyUI/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return path


def test_only_the_plain_files_of_comfyui_are_unpacked(tmp_path):
    files = {
        "pkg-1.0/vendor/ComfyUI/main.py": b"print()",
        "pkg-1.0/vendor/ComfyUI/comfy/sd.py": b"",
        "pkg-1.0/vendor/ComfyUI/../../../../escaped.py": b"x",
        "pkg-1.0/setup.py": b"x",
    }
    archive = make_archive(tmp_path / "a.tar.gz", files)
    sizes = setup.unpack(setup.comfyui_files(archive), tmp_path / "deep" / "er" / "out")
    assert sizes == {"main.py": 7, "comfy/sd.py": 0}
    written = {path.name for path in tmp_path.rglob("*") if not path.is_dir()}
    assert written == {"a.tar.gz", "main.py", "sd.py"}


def test_the_page_is_unpacked_without_its_maps_and_again_when_a_file_is_gone(tmp_path, monkeypatch):
    page = releases.Page("1.0", "0")
    monkeypatch.setattr(setup, "HOST", tmp_path)
    monkeypatch.setattr(setup, "STAMPS", tmp_path / "stamps")
    fetched = []

    def fetch(package, wanted, options, what):
        fetched.append(package)
        with zipfile.ZipFile(tmp_path / wanted.archive, "w") as wheel:
            static = "comfyui_frontend_package/static"
            for name in (f"{static}/index.html", f"{static}/assets/app.js", f"{static}/assets/app.js.map",
                         f"{static}/../../../escaped.js", "comfyui_frontend_package/__init__.py"):  # fmt: skip
                wheel.writestr(name, "text")
        return tmp_path / wanted.archive

    monkeypatch.setattr(setup, "download", fetch)
    folder = setup.make_page(page)
    assert folder == tmp_path / "page-1.0"
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert written == {"index.html", "assets/app.js"} and not list(tmp_path.parent.rglob("escaped.js"))
    assert setup.make_page(page) == folder and fetched == ["comfyui-frontend-package==1.0"]
    (folder / "index.html").unlink()
    setup.make_page(page)
    assert (folder / "index.html").exists() and len(fetched) == 2


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


def test_a_damaged_folder_is_noticed(tmp_path):
    (tmp_path / "main.py").write_bytes(b"print()")
    (tmp_path / "left by a run.txt").touch()
    assert not setup.differs(tmp_path, {"main.py": 7})
    assert setup.differs(tmp_path, {"main.py": 8})
    assert setup.differs(tmp_path, {"main.py": 7, "nodes.py": 3})
    assert setup.differs(tmp_path / "nowhere", {"main.py": 7})


def test_a_folder_that_is_in_use_is_said_to_be_so(tmp_path, monkeypatch):
    """Windows moves no folder of which a program has a file open."""

    def refused(source, target):
        raise PermissionError(13, "Access is denied")

    (tmp_path / "comfyui-1").mkdir()
    monkeypatch.setattr(setup.os, "replace", refused)
    with pytest.raises(steps.Problem, match="comfyui-1 is in use. Close the ComfyUI that runs from it"):
        setup.put_in_place(tmp_path / "fresh", tmp_path / "comfyui-1")


def test_a_package_that_lost_a_file_is_noticed(tmp_path):
    site = tmp_path / ("Lib" if sys.platform == "win32" else "lib/python3.11") / "site-packages"
    (site / "six-1.dist-info").mkdir(parents=True)
    (site / "six.py").touch()
    (site / "six-1.dist-info" / "RECORD").write_text("six.py,sha256=x,1\n__pycache__/six.cpython-311.pyc,,\n")
    assert not setup.missing_files(tmp_path)
    (site / "six.py").unlink()
    assert setup.missing_files(tmp_path)


def test_a_download_with_another_hash_is_refused(tmp_path, monkeypatch):
    release = releases.RELEASES[releases.DEFAULT]
    monkeypatch.setattr(setup, "HOST", tmp_path)
    monkeypatch.setattr(setup, "ensure_boot", lambda: Path(sys.executable))
    archive = tmp_path / "downloads" / release.archive

    def fake_download(command, what):
        assert f"sha256:{release.sha256}" in Path(command[-1]).read_text()
        archive.write_bytes(b"something else")

    monkeypatch.setattr(setup, "run_step", fake_download)
    with pytest.raises(steps.Problem, match="not the file it should be"):
        setup.ensure_archive(release)


def test_a_full_disk_is_seen_before_anything_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(setup, "HOST", tmp_path)
    with pytest.raises(steps.Problem, match="Not enough room on the disk"):
        setup.check_space(10**18)
    setup.check_space(1)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("cause: dns error: failed to lookup address information", "No network"),
        ("WARNING: Retrying ... NewConnectionError(...)\nERROR: No matching distribution", "No network"),
        ("error: failed to write: No space left on device (os error 28)", "The disk is full"),
        ("error: torch has no wheel for this platform", "torch has no wheel"),
    ],
)
def test_a_failed_step_says_what_is_missing(output, said):
    assert said in steps.explain("installing packages", output)


def test_a_failing_command_ends_in_its_own_words():
    code = "import sys; print('first'); print('the reason', file=sys.stderr); sys.exit(3)"
    with pytest.raises(steps.Problem, match="Trying it failed.*\n.*\n*the reason"):
        steps.run_step([sys.executable, "-c", code], "trying it")


def test_only_one_set_up_at_a_time(tmp_path):
    code = (
        f"import sys; sys.path.append({str(setup.ROOT)!r})\n"
        "from pathlib import Path; from devtools.steps import lock; import time\n"
        f"with lock(Path({str(tmp_path / 'lock')!r})):\n    print('held', flush=True)\n    time.sleep(1.5)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        started = time.monotonic()
        with steps.lock(tmp_path / "lock"):
            assert time.monotonic() - started > 0.5
            assert other.wait(5) == 0


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


def test_an_unknown_release_names_the_known_ones():
    with pytest.raises(steps.Problem, match="0.30.0, 0.27.0"):
        setup.make_host("9.9")


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


def test_all_releases_have_a_pinned_archive():
    assert len(releases.RELEASES) == 7
    assert all(len(release.sha256) == 64 for release in (*releases.RELEASES.values(), releases.NEWEST_PAGE))


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
