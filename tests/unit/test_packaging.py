"""What the node registry and ComfyUI Manager ask of the pack."""

import ast
import os
import re
import subprocess
import sys

import pytest

from devtools.releases import OLDEST
from devtools.setup import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# Where a pack says on which systems and accelerators it runs; the registry knows these and no others.
CLASSIFIERS = {
    "Operating System :: OS Independent",
    "Operating System :: Microsoft :: Windows",
    "Operating System :: POSIX :: Linux",
    "Operating System :: MacOS",
    "Environment :: GPU :: NVIDIA CUDA",
    "Environment :: GPU :: AMD ROCm",
    "Environment :: GPU :: Intel Arc",
    "Environment :: NPU :: Huawei Ascend",
    "Environment :: GPU :: Apple Metal",
}


# what unpickles, or runs a program
UNSAFE = {
    "torch.load", "np.load", "numpy.load", "yaml.load", "os.system", "os.popen", "os.startfile", "os.execv", "os.fork",
    "importlib.import_module",
}  # fmt: skip


def tracked(*patterns: str) -> list[str]:
    """Names of the repository's files that match; those of a checkout without git are not known."""
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return listed.stdout.split("\n")[:-1]


def test_the_registrys_own_check_passes():
    checker = os.environ.get("HRV_COMFY_CLI")
    if not checker:
        pytest.skip(
            "comfy-cli is not here: run the tests with `python3 dev.py test`, with a network the first time"
        )
    command = [checker, "--skip-prompt", "--no-enable-telemetry", "node", "validate"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert "All validation checks passed" in output, output
    assert not re.search(r"warning|error", output, re.IGNORECASE), output


def test_security_names_every_route_and_folder():
    """SECURITY.md says what the code does: every place that the pack writes to or downloads from."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    for place in ("models/hrv", "`output`", "`temp`", "hrv_data/catalogue.json", "SHA-256", "`/hrv/`"):
        assert place in text
    assert "`models/hrv/prompts`" in text and "`models/hrv/collected_" in text
    routes = (ROOT / "host" / "page" / "routes.py").read_text(encoding="utf-8")
    assert set(re.findall(r'"(/[a-z]+)/', routes)) == {"/hrv"}


def test_the_name_is_one_the_registry_takes():
    name = PROJECT["project"]["name"]
    assert re.fullmatch(r"[a-z][a-z0-9_-]{0,99}", name)
    assert "comfyui" not in name
    assert re.fullmatch(r"\d+\.\d+\.\d+", PROJECT["project"]["version"])


def test_classifiers_are_ones_the_registry_knows():
    assert set(PROJECT["project"]["classifiers"]) <= CLASSIFIERS


def test_what_the_registry_shows_is_there():
    comfy = PROJECT["tool"]["comfy"]
    assert PROJECT["project"]["urls"]["Repository"].startswith("https://")
    assert comfy["PublisherId"] and comfy["DisplayName"] and comfy["requires-comfyui"]
    for image in ("Icon", "Banner"):
        assert (ROOT / "docs" / comfy[image].rsplit("/", 1)[1]).is_file()
    assert "web" not in comfy  # WEB_DIRECTORY says it; both would load the scripts twice


def test_the_oldest_release_that_is_tried_is_the_one_that_is_promised():
    assert PROJECT["tool"]["comfy"]["requires-comfyui"] == f">={OLDEST}"


def test_dependencies_are_the_same_in_both_places():
    lines = (ROOT / "requirements.txt").read_text().split("\n")
    *own, page = PROJECT["project"]["dependencies"]
    assert own == [line for line in lines if line]
    assert page.startswith("comfyui-frontend-package>="), (
        "the range of pages, which comes with ComfyUI itself"
    )


def test_ruff_finds_nothing():
    command = [sys.executable, "-m", "ruff", "check", "--output-format", "concise", "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"run `ruff check --fix`:\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("folder", ["hrv", "host", "nodes"])
def test_no_code_from_text_and_no_install_at_run_time(folder):
    for file in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "compile", "__import__"), f"{file}:{node.lineno}"
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = (
                    [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
                )
                roots = {name.split(".")[0] for name in names}
                assert not roots & {"subprocess", "pip", "pickle", "marshal", "shelve"}, (
                    f"{file}:{node.lineno}"
                )
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                called = f"{node.value.id}.{node.attr}"
                assert called not in UNSAFE, f"{file}:{node.lineno}: {called}"


@pytest.mark.parametrize("folder", ["hrv", "host", "nodes"])
def test_arrows_only_point_down(folder):
    """nodes may use host and hrv, host may use hrv, hrv nothing of ours and nothing of ComfyUI's."""
    below = {"hrv": {"hrv"}, "host": {"host", "hrv"}, "nodes": {"nodes", "host", "hrv"}}[folder]
    for file in (ROOT / folder).rglob("*.py"):
        package = file.relative_to(ROOT).parent.parts
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom | ast.Import):
                continue
            where = f"{file.relative_to(ROOT)}:{node.lineno}"
            if isinstance(node, ast.ImportFrom) and node.level:
                target = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
                assert target[0] in below, where
            elif folder == "hrv":
                names = (
                    [node.module]
                    if isinstance(node, ast.ImportFrom)
                    else [alias.name for alias in node.names]
                )
                assert not any(
                    name.startswith(("comfy", "nodes", "folder_paths", "server")) for name in names
                ), where


FLOORS = [
    {"report"},
    {"look"},
    {"steer", "files", "effect"},
    {"relevance"},
    {"maps"},
    {"recording"},
    {"prompt", "runs", "heads"},
    {"draw"},
]


def test_rooms_of_hrv_use_only_what_lies_below():
    """The drawing in docs/architecture.md, from top to bottom. Modules outside of the rooms use none of them."""
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    assert set(floor) == {path.parent.name for path in (ROOT / "hrv").glob("*/__init__.py")}
    for file in (ROOT / "hrv").rglob("*.py"):
        package = file.relative_to(ROOT).parent.parts
        own = package[1] if len(package) > 1 else None
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                target = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")][1]
                if target in floor and target != own:
                    assert own is not None and floor[target] > floor[own], f"{file.name}:{node.lineno}"


def test_caches_and_the_host_are_not_committed():
    assert not [name for name in tracked() if re.search(r"(^|/)(\.host|__pycache__|demo_out)/|\.pyc$", name)]


def test_what_the_registry_ships_runs_without_what_it_leaves_out():
    left_out = (ROOT / ".comfyignore").read_text().split()
    for needed in (
        "__init__.py",
        "hrv/",
        "host/",
        "nodes/",
        "js/",
        "hrv_data/",
        "example_workflows/",
        "subgraphs/",
        "LICENSE",
    ):
        assert needed not in left_out


def test_what_workflows_use_is_pinned():
    """By commit, which nobody can move; and nothing but what GitHub and the registry offer themselves."""
    files = list((ROOT / ".github" / "workflows").glob("*.yml"))
    used = [line for file in files for line in re.findall(r"uses: (\S+)", file.read_text(encoding="utf-8"))]
    assert len(files) == 2 and used
    for action in used:
        assert re.fullmatch(r"(actions/[a-z-]+|Comfy-Org/publish-node-action)@[0-9a-f]{40}", action), action


def test_development_requirements_are_pinned():
    lines = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8").split()
    assert lines and all(re.fullmatch(r"[a-z-]+==[0-9.]+", line) for line in lines)


def test_every_document_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    documents = {file.name for file in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert {name for name in documents if f"({name})" not in index} == set()


@pytest.mark.parametrize(
    "name",
    ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs/README.md", "docs/architecture.md"],
)
def test_links_lead_somewhere(name):
    page = ROOT / name
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{name}: {target}"


def test_the_install_section_promises_no_registry_entry():
    """There is none yet; change this test and the README together once there is."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    install = text[text.index("## Install") : text.index("## Your first workflow")]
    assert (
        "not in the ComfyUI registry yet" in install
        and "Install via Git URL" in install
        and "git clone" in install
    )
