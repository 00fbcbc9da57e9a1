"""tools/build_in_shards.py against a real server, which stands for two."""

import importlib.util

import pytest

from devtools.server import ROOT
from hrv_pack.hrv.files.vector_files import read


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("build_in_shards", ROOT / "tools" / "build_in_shards.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_two_shares_make_what_one_server_makes(tool, server, tmp_path, capsys):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a red fish\n# left out\n\na blue cat on sand\na mint mug\n")
    common = [
        "--concepts",
        "demo",
        "--prompts",
        str(prompts),
        "--steps",
        "1",
        "--width",
        "64",
        "--height",
        "64",
    ]
    name = "test_in_shards/merged"
    assert tool.main(["--servers", server.address, server.address, *common, "--name", name]) == 0
    folder = server.base / "models" / "hrv"
    (merged,) = (folder / "test_in_shards").glob("merged*.safetensors")
    shards = [read(file) for file in (folder / "shards").glob("*.safetensors")]
    assert sorted(int(shard.votes.sum(0)[0]) for shard in shards) == [1, 2]
    assert read(merged).votes.sum(0).tolist() == [3] * shards[0].heads
    assert str(merged) in capsys.readouterr().out
    assert tool.main(["--servers", server.address, *common, "--name", name]) == 0
    alone = max((folder / "shards").glob("*.safetensors"), key=lambda file: file.stat().st_mtime)
    assert (read(alone).votes == read(merged).votes).all()


def test_each_server_has_a_seed_of_its_own_or_prompts_of_its_own(tool):
    parts = tool.shares(["a", "b", "c"], 5, 2, "prompts")
    assert parts == [{"prompts": "a\nc", "seed": 5}, {"prompts": "b", "seed": 5}]
    seeds = tool.shares(["a", "b"], 5, 3, "seeds")
    assert [part["seed"] for part in seeds] == [5, 6, 7] and {part["prompts"] for part in seeds} == {"a\nb"}
    assert len(tool.shares(["a"], 0, 3, "prompts")) == 1


def test_what_goes_wrong_is_said_in_one_line(tool, server, capsys):
    assert (
        tool.main(["--servers", server.address, "--checkpoint", "missing.safetensors", "--limit", "1"]) == 1
    )
    said = capsys.readouterr().err.strip()
    assert "missing.safetensors" in said and "\n" not in said
    with pytest.raises(tool.ServerError, match="cannot be reached"):
        tool.Server("127.0.0.1:9").call("/queue")
