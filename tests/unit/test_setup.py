"""devtools/setup.py and steps.py: what is checked before it is trusted, and what is said when something fails."""

import io
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from devtools import releases, setup, steps


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


def test_an_unknown_release_names_the_known_ones():
    with pytest.raises(steps.Problem, match="0.30.0, 0.27.0"):
        setup.make_host("9.9")


def test_all_releases_have_a_pinned_archive():
    assert len(releases.RELEASES) == 7
    assert all(len(release.sha256) == 64 for release in (*releases.RELEASES.values(), releases.NEWEST_PAGE))
